/** Items as they are shown in lists: title, facts, text with its marks, and why it is here. */
import { link } from './address.js';
import { h, number } from './dom.js';

const NAME = 70;

/** What an item without a title is called: by its id, as in the file. */
const idName = ({ id }) => (typeof id === 'number' ? `Item ${id}` : id);
const beginning = (text) => (text?.length > NAME ? `${text.slice(0, text.lastIndexOf(' ', NAME) + 1 || NAME).trim()}…` : text);

/** What an item is called: its title, else how its text begins, else its id. */
export const nameOf = (item) => item.title?.trim() || beginning(item.text?.trim()) || idName(item);
const yearOf = (item) => /^\d{4}/.exec(item.date ?? '')?.[0];
export const termsOf = (cluster, many = 8) => cluster?.top_terms.slice(0, many).join(', ') || 'nothing stands out';

/**
 * The title, which opens the item, and its year. Titles may run from right to left.
 *
 * @param {boolean} [beforeText] whether the text follows, so that a name need not repeat it
 */
export const heading = (level, item, beforeText = false) =>
  h(level, { class: 'title' },
    link({ item: item.id }, { dir: 'auto' }, titleOf(item, beforeText)),
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

function titleOf(item, beforeText) {
  if (item.title?.trim() && item.marked_title) return markedPieces(item.marked_title);
  return item.title?.trim() || (beforeText ? idName(item) : nameOf(item));
}

const markedPieces = (pieces) => pieces.map(([text, marked]) => (marked ? h('mark', {}, text) : text));

/** A text in pieces, `[text, whether it is marked]`. */
export const markedText = (pieces) => h('p', { class: 'text', dir: 'auto' }, markedPieces(pieces));

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
