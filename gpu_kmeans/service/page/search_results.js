/** Results: what was found, why each item is there, and what was meant by words that nothing has. */
import { link, toggled } from './address.js';
import { facts, heading, markedText, scoreTable } from './cards.js';
import { count, h, note, number } from './dom.js';

const LEAD = 90; // characters shown before the first match of a long text
const FAR = 320; // characters after which a match would not be seen

const FIELDS = { crew: 'directors', text: 'text' };
const fieldName = (name) => FIELDS[name] ?? name.replaceAll('_', ' ');

/** How much was found, and how else it could be asked for. */
export function summary(found, state, { searched }) {
  const { total, rank, facets, corrections, message } = found;
  const words = state.q && [' for ', h('strong', { dir: 'auto' }, state.q)];
  const said = rank === 'article' && facets.length
    ? [count(total, 'item'), ' in the nearest cluster: ', facets[0].name, '.']
    : [count(total, state.q || state.like ? 'result' : 'item'), words, searched.length > 1 && state.q ? `, in ${some(searched.map(fieldName))}.` : '.'];
  return h('div', { class: 'summary' },
    h('p', {}, said.flat().filter(Boolean)),
    corrections.map((one) => h('p', {}, correction(one, state))),
    message && !corrections.length && total > 0 && h('p', { class: 'quiet' }, sentence(message)));
}

const some = (names) => (names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more columns` : names.join(', '));

function correction({ word, nearest, used }, { q }) {
  const others = nearest.flatMap((other, at) => [at ? ', ' : '', link({ q: replaced(q, word, other), n: null }, {}, other)]);
  if (used) return ['Nothing has “', word, '”: these have ', ...others, '.'];
  return ['Nothing has “', word, '”.', others.length > 0 && ' Did you mean ', ...others, others.length > 0 && '?'].filter(Boolean);
}

/** The query with another word in place of one. */
function replaced(q, word, other) {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const changed = q.replace(new RegExp(escaped, 'iu'), () => other);
  return changed === q ? other : changed;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** What is said where nothing was found. */
export function nothing({ message, corrections }, state) {
  const narrowed = state.where || state.in;
  return note('Nothing found',
    message && !corrections.length && h('p', {}, sentence(message)),
    h('p', {}, narrowed
      ? ['Perhaps without the conditions: ', link({ where: null, in: null, n: null }, {}, 'show everything that matches'), '.']
      : 'Try other words, or fewer of them.'));
}

/** The list of items; each can be opened, liked, and is explained. */
export function results(found, state) {
  const names = new Map(found.facets.map(({ label, name }) => [label, name]));
  return h('ol', { class: 'results' }, found.items.map((item, place) => h('li', {},
    h('span', { class: 'rank', 'aria-hidden': 'true' }, place + 1),
    h('article', {},
      heading('h2', item, true), facts(item), item.text && markedText(excerpt(item.marked)),
      why(item, names, state), item.parts && scored(item), actions(item, state)))));
}

/** A text from shortly before its first match on, where that would be out of sight. */
function excerpt(pieces) {
  const [[text, marked] = ['', true], ...rest] = pieces;
  if (marked || !rest.length || text.length < FAR) return pieces;
  const cut = text.length - LEAD;
  return [[`… ${text.slice(text.indexOf(' ', cut) + 1 || cut)}`, false], ...rest];
}

function why(item, names, state) {
  const reasons = Object.entries(item.reasons).map(([field, words]) =>
    h('li', {}, h('span', { class: 'quiet' }, state.like ? 'both have ' : `in ${fieldName(field)}: `), words.join(', ')));
  const cluster = item.cluster >= 0 && h('li', {}, h('span', { class: 'quiet' }, 'cluster: '),
    link({ tab: 'map', cluster: item.cluster, item: null }, {}, names.get(item.cluster) ?? String(item.cluster)));
  return h('ul', { class: 'why', 'aria-label': 'Why it is here' }, reasons, cluster);
}

const scored = (item) => h('details', {},
  h('summary', {}, 'Score', h('span', { class: 'quiet' }, ` ${number(item.score)}`)), scoreTable(item));

function actions(item, state) {
  const id = String(item.id);
  const name = item.title ?? id;
  const less = state.like && link({ less: toggled(state.less, id), n: null }, { class: 'act', 'aria-label': `Less like ${name}` }, 'Less like this');
  return h('p', { class: 'acts' },
    link({ item: id }, { class: 'more', 'aria-label': `More and similar items: ${name}` }, 'More and similar'),
    link({ like: toggled(state.like, id), q: null, rank: null, n: null }, { class: 'act', 'aria-label': `More like ${name}` },
      'More like this'),
    less);
}
