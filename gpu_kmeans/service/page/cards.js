/** Items as they are shown in lists: title, facts, text with its marks, and why it is here. */
import { link } from './address.js';
import { h, number } from './dom.js';

export const nameOf = (item) => item.title?.trim() || `Untitled (${item.id})`;
const yearOf = (item) => /^\d{4}/.exec(item.date ?? '')?.[0];
export const termsOf = (cluster, many = 8) => cluster?.top_terms.slice(0, many).join(', ') || 'nothing stands out';

/** The title, which opens the item, and its year. Titles may run from right to left. */
export const heading = (level, item) =>
  h(level, { class: 'title' },
    link({ item: item.id }, { dir: 'auto' }, nameOf(item)),
    yearOf(item) && h('span', { class: 'year' }, yearOf(item)));

export function facts(item) {
  const votes = item.votes ? ` from ${number(item.votes)} votes` : '';
  const said = [
    item.vote_average != null && `★ ${number(item.vote_average)} of 10${votes}`,
    item.popularity != null && `popularity ${number(item.popularity)}`,
    item.genres.slice(0, 3).join(', '),
  ].filter(Boolean);
  return said.length > 0 && h('p', { class: 'quiet facts' }, said.join(' · '));
}

/** A text in pieces, `[text, whether it is marked]`. */
export const markedText = (pieces) =>
  h('p', { class: 'text', dir: 'auto' }, pieces.map(([text, marked]) => (marked ? h('mark', {}, text) : text)));

/** A score and the two parts it is the sum of. */
export function scoreTable({ score, parts }) {
  const row = (name, value, weight, help) => h('tr', {},
    h('th', { scope: 'row' }, name, h('span', { class: 'hint' }, help)),
    h('td', {}, `${number(value)} × ${number(weight)}`),
    h('td', {}, share(value * weight)));
  const share = (part) => h('span', { class: 'share', style: `--share: ${score ? part / score : 0}` }, part.toFixed(2));
  return h('table', { class: 'score' },
    h('tbody', {},
      row('Match', parts.relevance, parts.relevance_weight, 'how close the text is to the search, from 0 to 1, times its weight'),
      row('Fame', parts.fame, parts.fame_weight, 'the share of all items that are less popular, times its weight')),
    h('tfoot', {}, h('tr', {}, h('th', { scope: 'row' }, 'Score'), h('td'), h('td', {}, score.toFixed(2)))));
}
