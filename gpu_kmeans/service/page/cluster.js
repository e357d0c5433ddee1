/** One cluster with all that is known of it, and the items that are in none. */
import { link } from './address.js';
import { get, getOnce } from './api.js';
import { facts, heading, nameOf } from './cards.js';
import { button, count, fill, h, number, percent } from './dom.js';
import { exports } from './export.js';
import { badge, profile as tables } from './profile.js';

const PAGE = 30;
const WORST = 5;
const MOST_PARTS = 12;
const MOST_CELLS = 6;
const WHY = {
  no_text: 'it has no text', no_known_term: 'its text has no word that the model knows', set_apart: 'it was set apart',
};

const back = () => h('p', {}, link({ cluster: null }, {}, '← All clusters'));

/** @param {object} profile undefined where there is no such cluster */
export function cluster(context, profile, edit) {
  if (!profile) return [h('p', {}, 'There is no such cluster in this version. ', link({ cluster: null }, {}, 'All clusters'))];
  const { model, at, signal } = context;
  const { label, name, size, share, typical, reasons } = profile;
  const title = h('h1', { dir: 'auto' }, name);
  const parts = h('input', { type: 'number', name: 'parts', value: 2, min: 2, max: Math.min(MOST_PARTS, size), step: 1, inputmode: 'numeric', 'aria-label': 'Number of parts' });
  const split = h('form', { class: 'split', onsubmit: (event) => {
    event.preventDefault();
    edit.split(profile, Number(parts.value));
  } }, h('button', {}, 'Split into'), parts, 'parts');
  const words = reasons.filter(({ kind }) => kind === 'term').slice(0, 3).map((reason) => reason.name).join(' ');
  const worst = h('section', {});
  getOnce(at(['outliers'], { limit: WORST, cluster: label })).then(({ items, junk_clusters: junk }) => {
    if (signal.aborted) return;
    if (junk.some((each) => each.label === label)) title.append(badge());
    const known = items.filter(({ score }) => score != null);
    if (known.length) worst.append(h('h2', {}, 'Fit worst'), h('ul', { class: 'rows' }, known.map((item) => h('li', {},
      link({ item: item.id }, { dir: 'auto' }, nameOf(item)),
      h('span', { class: 'quiet n' }, `${number(item.score)} × as far as usual`)))));
  }, () => {});
  return [
    back(), title,
    h('p', { class: 'quiet' }, `Cluster ${label}: ${count(size, 'item')}, ${percent(share)} of ${model.name}.`),
    h('div', { class: 'actions' },
      button('Rename', ({ target }) => edit.rename(profile, title, target)),
      size > 1 && split,
      link({ tab: 'map' }, { class: 'button' }, 'See it on the map'),
      !model.wordless && words && link({ tab: 'search', q: words, like: null, less: null, cluster: null, n: null }, { class: 'button' }, 'Search for its words'),
      exports(context, label)),
    h('div', { class: 'pair' },
      h('section', {}, h('h2', {}, 'What sets it apart'), tables(reasons)),
      h('div', {},
        typical.length > 0 && h('section', {}, h('h2', {}, 'Most typical'), h('ul', { class: 'rows' }, typical.map((item) =>
          h('li', {}, link({ item: item.id }, { dir: 'auto' }, nameOf(item)))))),
        worst)),
    ...members(context, label),
  ];
}

function members({ at, signal }, label) {
  const list = h('ol', { class: 'members' });
  const status = h('div', {});
  const page = async (cursor) => {
    const answer = await get(at(['clusters', label, 'items'], { limit: PAGE, cursor }), signal);
    const first = list.children.length;
    list.append(...answer.items.map((item) => h('li', {}, heading('h3', item), facts(item), cells(item))));
    if (cursor) list.children[first]?.querySelector('a').focus({ preventScroll: true });
    return [answer.next_cursor ? button('Show more', () => fill(status, signal, () => page(answer.next_cursor))) : ''];
  };
  fill(status, signal, () => page());
  return [h('h2', {}, 'All items, the most typical first'), list, status];
}

/** Where there are no texts, the first columns of an item say what it is. */
function cells({ text, columns }) {
  const some = text ? [] : Object.entries(columns).filter(([, cell]) => cell !== null && cell !== '').slice(0, MOST_CELLS);
  return some.length > 0 && h('p', { class: 'quiet facts', dir: 'auto' },
    some.map(([name, cell]) => `${name} ${typeof cell === 'number' ? number(cell) : cell}`).join(' · '));
}

/** The items in no cluster, each with the reason. */
export async function noCluster({ at, signal, model }) {
  const list = h('ul', { class: 'rows' });
  const status = h('div', {});
  const page = async (cursor) => {
    const answer = await get(at(['outliers'], { limit: PAGE, cluster: -1, cursor }), signal);
    list.append(...answer.items.map((item) => h('li', {}, link({ item: item.id }, { dir: 'auto' }, nameOf(item)),
      h('span', { class: 'quiet' }, WHY[item.why] ?? ''))));
    status.replaceChildren(answer.next_cursor ? button('Show more', () => fill(status, signal, () => page(answer.next_cursor))) : '');
    return [...status.childNodes];
  };
  await page();
  return [back(), h('h1', {}, `In no cluster of ${model.name}`),
    h('p', { class: 'quiet' }, list.children.length ? 'These items are in no count and on no map; a search of all items may show them.' : 'All items are in a cluster.'),
    list, status];
}
