/** Search: the box, the clusters while it is empty, and the results with their two pictures. */
import { go, link } from './address.js';
import { get, getOnce } from './api.js';
import { facts, heading, markedText, scoreTable, termsOf } from './cards.js';
import { popularityBars, ratingScatter } from './charts.js';
import { announce, button, count, fill, h, note, number } from './dom.js';

const PAGE = 10;
const MANY_CLUSTERS = 24;
const RANKS = {
  blend: ['Balanced', 'Good matches first; among those, the better known.'],
  relevance: ['Best match', 'Only the words count.'],
  popularity: ['Most popular', 'The best known items of the cluster, whether or not they match.'],
};

const input = h('input', { type: 'search', id: 'query', name: 'q', autocomplete: 'off', enterkeyhint: 'search' });
const form = h('form', { role: 'search', class: 'search' },
  h('h1', {}, h('label', { for: 'query' }, 'What are you looking for?')),
  h('div', { class: 'box' }, input, h('button', { class: 'main' }, 'Search')));
const suggestions = h('p', { class: 'chips' });
const choices = h('div', { class: 'choices' });
const region = h('div', { class: 'region' });
let answered = {}; // the query and how many results are on the page

/** @type {import('./main.js').View} */
export const search = {
  id: 'search',
  label: 'Search',
  keys: ['q', 'rank', 'wide', 'n'],

  mount(panel) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      go({ q: input.value.trim(), n: null, cluster: null });
    });
    panel.append(form, suggestions, choices, region);
  },

  show({ state, model, at, limits, signal }) {
    const { wordless } = model;
    const q = wordless ? '' : state.q ?? '';
    const rank = state.rank in RANKS ? state.rank : 'blend';
    const n = Math.max(1, Math.trunc(state.n)) || PAGE;
    input.value = q;
    input.maxLength = limits.max_query_characters;
    const clusters = getOnce(at(['clusters'])).then((answer) => answer.clusters);
    form.hidden = wordless;
    choices.hidden = !q;
    suggestions.hidden = wordless || Boolean(q);
    if (!q) {
      fill(region, signal, async () => home(await clusters, wordless));
      return;
    }
    const widths = clusters.then((all) => widthsOf(all.length));
    showChoices(rank, state.wide, widths);
    fill(region, signal, async () => {
      const { many } = widthOf(state.wide, await widths);
      const parameters = { q, rank, limit: Math.min(n, limits.max_limit), clusters: many };
      const found = await get(at(['recommend'], parameters), signal);
      const content = results(found, await clusters, signal, limits, n);
      announce(`${count(found.items.length, 'result')} for ${q} in version ${model.version} of ${model.name}`);
      const before = answered.q === q ? answered.n : Infinity;
      if (before < n) requestAnimationFrame(() => focusResult(before));
      answered = { q, n };
      return content;
    });
  },
};

const focusResult = (place) => region.querySelector(`.results > li:nth-child(${place + 1}) a`)?.focus();

/** What is seen before anything is searched for. */
function home(clusters, wordless) {
  const largest = clusters.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
  suggestions.replaceChildren('Try ', ...largest.slice(0, 6).map((cluster) => {
    const words = termsOf(cluster, 2).replace(', ', ' ');
    return link({ q: words }, { class: 'chip' }, words);
  }));
  const cards = (shown) => shown.map((cluster) =>
    h('li', {}, link({ tab: 'map', cluster: cluster.label }, { class: 'card' },
      h('strong', {}, termsOf(cluster, 3)),
      h('span', { class: 'quiet' }, cluster.top_terms.slice(3).join(', ')),
      h('span', { class: 'share', style: `--share: ${cluster.size / largest[0].size}` }, count(cluster.size, 'item')))));
  const list = h('ul', { class: 'cards' }, cards(largest.slice(0, MANY_CLUSTERS)));
  const more = largest.length > MANY_CLUSTERS && button(`Show all ${largest.length}`, () => {
    list.replaceChildren(...cards(largest));
    more.remove();
  });
  return [
    h('h2', {}, `What is in here: ${count(largest.length, 'cluster')}`),
    h('p', { class: 'quiet' }, wordless
      ? 'There are no texts to search in this model. A cluster is a group of items that are alike; this is what sets each apart from the others.'
      : 'A cluster is a group of items whose texts use the same words. These are the words that stand out in each.'),
    list, more || '',
  ];
}

/** How many clusters one may look in; all of them are another number in each version. */
const widthsOf = (all) => [
  { value: '1', many: 1, label: 'the nearest cluster' },
  { value: '3', many: 3, label: 'the 3 nearest clusters' },
  { value: 'all', many: all, label: 'all clusters' },
].filter(({ value, many }) => value === '1' || (value === 'all' ? many > 1 : many < all));
const widthOf = (value, widths) => widths.find((width) => width.value === value) ?? widths[0];

/** The order and the clusters to look in; what has the focus keeps it. */
async function showChoices(rank, wide, promised) {
  const choose = (event) => go({ [event.target.name]: event.target.value, n: null });
  const widths = await promised.catch(() => widthsOf(1));
  const chosen = widthOf(wide, widths);
  const focused = choices.contains(document.activeElement) && document.activeElement.id;
  choices.replaceChildren(
    h('fieldset', { class: 'segments', onchange: choose }, h('legend', {}, 'Order'),
      Object.entries(RANKS).map(([value, [label, help]]) => h('label', { title: help },
        h('input', { type: 'radio', name: 'rank', value, id: `rank-${value}`, checked: value === rank }), h('span', {}, label)))),
    h('label', { class: 'inline' }, 'Look in ',
      h('select', { name: 'wide', id: 'wide', onchange: choose },
        widths.map((width) => h('option', { value: width.value, selected: width === chosen }, width.label)))),
    h('p', { class: 'hint' }, RANKS[rank]?.[1]));
  if (focused) document.getElementById(focused)?.focus();
}

function results(found, clusters, signal, limits, n) {
  const { items, terms, cluster, message } = found;
  if (!cluster) {
    return [note('Nothing found', h('p', {}, 'None of these words is in the texts. Try others, or fewer letters: “ghost” rather than “ghostly”.'))];
  }
  const summary = h('p', { class: 'summary' },
    'Searched for ', terms.map((term, at) => [at ? ', ' : '', h('mark', {}, term)]).flat(), ' in ',
    link({ tab: 'map', cluster: cluster.label, item: null }, {}, `cluster ${cluster.label}`),
    ` of ${count(cluster.size, 'item')}: ${termsOf(cluster)}.`,
    message && ` Note: ${message}.`);
  const list = h('ol', { class: 'results' }, items.map((item, place) => result(item, place + 1, clusters)));
  const more = items.length >= n && items.length < limits.max_limit
    && link({ n: items.length + PAGE }, { class: 'button' }, 'Show more');
  return [summary, h('div', { class: 'beside' },
    h('div', {}, list, more),
    h('aside', { class: 'pictures', 'aria-label': 'Pictures of the results' },
      ratingScatter(items, signal, (item) => go({ item: item.id })),
      popularityBars(items, signal, (item) => go({ item: item.id }))))];
}

function result(item, rank, clusters) {
  const shared = [...new Set(item.marked.filter(([, marked]) => marked).map(([text]) => text.toLowerCase()))];
  const why = shared.length
    ? `Its text has ${shared.join(', ')}, and it is`
    : 'It has none of the words, but is';
  return h('li', {},
    h('span', { class: 'rank', 'aria-hidden': 'true' }, rank),
    h('article', {},
      heading('h2', item), facts(item), markedText(item.marked),
      h('details', {},
        h('summary', {}, 'Why it is here', h('span', { class: 'quiet' }, ` score ${number(item.score)}`)),
        h('p', {}, `${why} in `, link({ tab: 'map', cluster: item.cluster, item: null }, {}, `cluster ${item.cluster}`),
          `: ${termsOf(clusters[item.cluster])}.`),
        scoreTable(item)),
      link({ item: item.id }, { class: 'more', 'aria-label': `More and similar items: ${item.title ?? item.id}` }, 'More and similar')));
}
