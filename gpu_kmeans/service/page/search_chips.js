/** What the search is narrowed to, each with a way to take it back. */
import { link, listed, toggled } from './address.js';
import { getOnce } from './api.js';
import { nameOf } from './cards.js';
import { h } from './dom.js';
import { columnName, conditions } from './search_filters.js';

const MOST_NAMED = 20;
const SIGNS = { '=': ':', '>=': ' from', '<=': ' up to' };

/** A row of them; null where there is nothing. */
export async function chips(state, at) {
  const shown = [
    ...await ofItems('like', 'More like', state, at),
    ...await ofItems('less', 'Less like', state, at),
    ...conditions(state).map(({ text, column, sign, value }) =>
      chip([`${columnName(column)}${SIGNS[sign]} `, h('strong', { dir: 'auto' }, value)], { where: toggled(state.where, text) })),
  ];
  if (!shown.length) return null;
  return h('ul', { class: 'chips chosen', 'aria-label': 'Chosen' }, shown.map((each) => h('li', {}, each)));
}

async function ofItems(key, words, state, at) {
  const ids = listed(state[key]);
  const named = await Promise.all(ids.slice(0, MOST_NAMED).map((id) =>
    getOnce(at(['items', id])).then(nameOf, () => id)));
  return ids.map((id, place) => {
    const rest = toggled(state[key], id);
    // Without an item that is liked there is nothing to be less like.
    const changes = key === 'like' && !rest ? { like: null, less: null } : { [key]: rest };
    return chip([`${words} `, h('strong', { dir: 'auto' }, named[place] ?? id)], changes, key);
  });
}

const chip = (content, changes, kind = '') =>
  link({ ...changes, n: null }, { class: `chip ${kind}`, title: 'Take this back' }, h('span', {}, content), h('span', { 'aria-hidden': 'true' }, ' ×'));
