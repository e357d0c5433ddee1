/** What sets a cluster apart: words, numbers, categories, features of a matrix. */
import { h, number, percent } from './dom.js';

const SLIGHT = 0.1; // standard deviations, from which on a number tells something
const ofKind = (reasons, kind) => reasons.filter((reason) => reason.kind === kind);

/** What marks a cluster that holds together badly. */
export const badge = () => h('span', {
  class: 'badge bad', title: 'Few items, or nothing that they have in common',
}, 'holds together badly');

/** The same in a few words, the strongest first. */
export function inWords(reasons, many = 8) {
  const words = reasons.filter(({ kind, deviation }) => kind === 'term' || Math.abs(deviation) >= SLIGHT)
    .toSorted((a, b) => (a.kind === 'term' && b.kind === 'term' ? 0 : Math.abs(b.deviation) - Math.abs(a.deviation)))
    .slice(0, many)
    .map(({ kind, column, name, deviation }) => {
      if (kind === 'number') return `${deviation > 0 ? 'high' : 'low'} ${name}`;
      return kind === 'category' ? `${column} ${name}` : name;
    });
  return words.join(', ') || 'Nothing sets it apart.';
}

/** Tables of the reasons, by kind. */
export function profile(reasons) {
  const terms = [...ofKind(reasons, 'term'), ...ofKind(reasons, 'feature')];
  const numbers = ofKind(reasons, 'number').toSorted(byDeviation);
  const categories = ofKind(reasons, 'category').toSorted(byDeviation);
  return [
    terms.length > 0 && h('ul', { class: 'words' }, terms.map(({ name }) => h('li', { dir: 'auto' }, name))),
    numbers.length > 0 && table('Numbers', ['', 'Mean', 'Mean of all', 'Beside all'], numbers.map((reason) => [
      reason.name, number(reason.mean), number(reason.overall), beside(reason)])),
    categories.length > 0 && table('Categories', ['', 'Share', 'Share of all', 'Beside all'], categories.map((reason) => [
      `${reason.column}: ${reason.name}`, percent(reason.mean), percent(reason.overall), beside(reason)])),
    !reasons.length && h('p', { class: 'quiet' }, 'Nothing sets it apart.'),
  ].filter(Boolean);
}

const byDeviation = (a, b) => Math.abs(b.deviation) - Math.abs(a.deviation);

/** Higher or lower, and how much, in words and a sign. */
function beside({ deviation }) {
  const size = Math.abs(deviation);
  if (size < SLIGHT) return '≈ as in all';
  const much = size < 0.5 ? 'a little ' : size < 1.5 ? '' : 'much ';
  return deviation > 0 ? `▲ ${much}more` : `▼ ${much}less`;
}

const table = (caption, columns, rows) => h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption }, h('table', { class: 'profile' },
  h('caption', {}, caption),
  h('thead', {}, h('tr', {}, columns.map((column, at) => h('th', { scope: 'col', class: at && at < 3 ? 'n' : '' }, column || h('span', { class: 'unseen' }, 'Name'))))),
  h('tbody', {}, rows.map(([name, ...cells]) => h('tr', {},
    h('th', { scope: 'row', dir: 'auto' }, name), cells.map((cell, at) => h('td', { class: at < 2 ? 'n' : '' }, cell)))))));
