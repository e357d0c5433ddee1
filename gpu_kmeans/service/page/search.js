/** Search: the box, the clusters while nothing is looked for, and the results with their reasons. */
import { go, link, listed, replace } from './address.js';
import { get, getOnce } from './api.js';
import { termsOf } from './cards.js';
import { popularityBars, ratingScatter } from './charts.js';
import { announce, button, count, fill, h } from './dom.js';
import { chips } from './search_chips.js';
import { facets } from './search_facets.js';
import { filters } from './search_filters.js';
import { nothing, results, summary } from './search_results.js';

const PAGE = 10;
const MANY_CLUSTERS = 24;
const PAUSE = 180;
/** Items of one cluster among the first ten, where clusters are mixed. */
const OF_ONE_CLUSTER = 2;
const RANKS = {
  best: ['Best match', 'Titles that are what you typed come first, then the best matches.'],
  blend: ['Balanced', 'Good matches first; among those, the better known.'],
  relevance: ['Words only', 'Only the words count, not how well known an item is.'],
  popularity: ['Most popular', 'Everything that matches, the best known first.'],
  article: ['Nearest cluster', 'The article’s rule: the best known items of the one cluster nearest to the words, whether or not they match.'],
};
const BY_POPULARITY = ['blend', 'popularity'];
/** What is looked for, and where: without any of these there is nothing to show. */
const SOUGHT = ['q', 'in', 'where', 'like'];

const input = h('input', {
  type: 'search', id: 'query', name: 'q', autocomplete: 'off', enterkeyhint: 'search', 'aria-describedby': 'query-hint',
});
const form = h('form', { role: 'search', class: 'search' },
  h('h1', {}, h('label', { for: 'query' }, 'What are you looking for?')),
  h('div', { class: 'box' }, input, h('button', { class: 'main' }, 'Search')),
  h('p', { class: 'hint', id: 'query-hint' }, 'Any words, titles or names. “Two words” between quotation marks are found as they stand.'));
const suggestions = h('p', { class: 'chips' });
const choices = h('div', { class: 'choices' });
const region = h('div', { class: 'region' });
let answered = {}; // what is on the page, and how many of it
let typing = null; // a pause that is waited for
let sought = ''; // the words in the address

/** @type {import('./main.js').View} */
export const search = {
  id: 'search',
  label: 'Search',
  keys: [...SOUGHT, 'less', 'rank', 'spread', 'n'],

  mount(panel) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      lookFor(go);
    });
    input.addEventListener('input', () => {
      clearTimeout(typing);
      typing = setTimeout(() => lookFor(sought ? asYouType : go), PAUSE);
    });
    panel.append(form, suggestions, choices, region);
  },

  show({ state, model, at, limits, signal }) {
    const isSought = SOUGHT.some((key) => state[key]);
    const isLike = Boolean(state.like);
    const rank = state.rank in RANKS ? state.rank : 'best';
    const n = Math.max(1, Math.trunc(state.n)) || PAGE;
    sought = state.q ?? '';
    // What is being typed stays.
    if (typing === null && input.value.trim() !== sought) input.value = sought;
    input.maxLength = limits.max_query_characters;
    const columns = getOnce(at(['columns']));
    columns.then(({ searched }) => { form.hidden = !searched.length; }, () => {});
    choices.hidden = !isSought;
    suggestions.hidden = model.wordless || isSought;
    if (!isSought) {
      fill(region, signal, async () => {
        const [known, { clusters }] = await Promise.all([columns, getOnce(at(['clusters']))]);
        return home(clusters, model.wordless, filters(known, state));
      });
      return;
    }
    showChoices(rank, state, columns);
    fill(region, signal, async () => {
      const [known, found, chosen] = await Promise.all([
        columns, get(at(['recommend'], parametersOf(state, rank, Math.min(n, limits.max_limit))), signal),
        chips(state, at),
      ]);
      const content = page({ known, found, chosen, state, signal, n, limits, rank, isLike });
      announce(`${count(found.total, 'result')}${state.q ? ` for ${state.q}` : ''} in version ${model.version} of ${model.name}`);
      const before = answered.q === state.q ? answered.n : Infinity;
      if (before < n) requestAnimationFrame(() => focusResult(before));
      answered = { q: state.q, n };
      return content;
    });
  },
};

/** Bring the words that were typed into the address. */
function lookFor(way) {
  clearTimeout(typing);
  typing = null;
  const q = input.value.trim();
  // Words and likes are two ways to look; whoever types means words.
  way({ q, n: null, cluster: null, ...(q ? { like: null, less: null } : {}) });
}

function asYouType(changes) {
  replace(changes);
  dispatchEvent(new Event('hashchange'));
}

const focusResult = (place) => region.querySelector(`.results > li:nth-child(${place + 1}) a`)?.focus();

/** What to ask the service for; the article's rule has its own cluster, and takes no conditions. */
function parametersOf(state, rank, limit) {
  if (state.like) {
    return {
      limit, like: listed(state.like), dislike: listed(state.less), cluster: listed(state.in),
      where: listed(state.where), diversity: state.spread && OF_ONE_CLUSTER,
    };
  }
  if (rank === 'article' && state.q) return { q: state.q, rank, limit };
  return {
    q: state.q ?? null, limit, rank: rank === 'article' ? 'popularity' : rank, cluster: listed(state.in),
    where: listed(state.where), diversity: state.spread && OF_ONE_CLUSTER,
  };
}

/** What is seen before anything is looked for. */
function home(clusters, wordless, filtering) {
  const largest = clusters.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
  suggestions.replaceChildren('Try ', ...largest.slice(0, 6).map((cluster) => {
    const words = termsOf(cluster, 2).replace(', ', ' ');
    return link({ q: words }, { class: 'chip' }, words);
  }));
  const cards = (shown) => shown.map((cluster) =>
    h('li', {}, link({ tab: 'map', cluster: cluster.label }, { class: 'card' },
      h('strong', { dir: 'auto' }, cluster.name),
      h('span', { class: 'quiet' }, termsOf(cluster)),
      h('span', { class: 'share', style: `--share: ${cluster.size / largest[0].size}` }, count(cluster.size, 'item')))));
  const list = h('ul', { class: 'cards' }, cards(largest.slice(0, MANY_CLUSTERS)));
  const more = largest.length > MANY_CLUSTERS && button(`Show all ${largest.length}`, () => {
    list.replaceChildren(...cards(largest));
    more.remove();
  });
  return [
    filtering && h('details', { class: 'apart' }, h('summary', {}, 'Filter all items'), filtering),
    h('h2', {}, `What is in here: ${count(largest.length, 'cluster')}`),
    h('p', { class: 'quiet' }, wordless
      ? 'A cluster is a group of items that are alike; this is what sets each apart from the others.'
      : 'A cluster is a group of items whose texts use the same words. These are the words that stand out in each.'),
    list, more || '',
  ].filter(Boolean);
}

/** The order, and whether clusters are mixed; what has the focus keeps it. */
async function showChoices(rank, state, promised) {
  const { columns } = await promised.catch(() => ({ columns: [] }));
  const ranked = columns.some(({ name }) => name === 'popularity');
  const offered = Object.entries(RANKS).filter(([value]) =>
    ranked || !BY_POPULARITY.includes(value));
  const focused = choices.contains(document.activeElement) && document.activeElement.id;
  const order = h('fieldset', { class: 'segments', onchange: ({ target }) => go({ rank: target.value, n: null }) },
    h('legend', {}, 'Order'),
    offered.map(([value, [label, help]]) => h('label', { title: help },
      h('input', { type: 'radio', name: 'rank', value, id: `rank-${value}`, checked: value === rank }), h('span', {}, label))));
  const mix = h('label', { class: 'inline', title: `At most ${OF_ONE_CLUSTER} of the first ten from any one cluster` },
    h('input', {
      type: 'checkbox', id: 'spread', checked: Boolean(state.spread), onchange: ({ target }) => go({ spread: target.checked ? 1 : null, n: null }),
    }), 'Mix clusters');
  const isArticle = rank === 'article' && state.q && !state.like;
  choices.replaceChildren(...[
    state.q && order, !isArticle && mix,
    h('p', { class: 'hint' }, state.q ? RANKS[rank][1] : state.like ? 'The most alike first.' : ranked && 'The best known first.'),
  ].filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}

function page({ known, found, chosen, state, signal, n, limits, rank, isLike }) {
  const isArticle = rank === 'article' && state.q && !isLike;
  const filtering = !isArticle && filters(known, state);
  const side = h('aside', { class: 'narrowing', 'aria-label': 'Narrow down' },
    facets(found, state, isArticle),
    filtering && h('details', { class: 'apart', open: matchMedia('(min-width: 62rem)').matches || null },
      h('summary', {}, 'Filters'), filtering));
  const { items } = found;
  const list = items.length ? results(found, state) : nothing(found, state);
  const more = found.total > items.length && items.length < limits.max_limit
    && link({ n: items.length + PAGE }, { class: 'button' }, 'Show more');
  const open = (item) => go({ item: item.id });
  return [
    chosen,
    h('div', { class: 'found' },
      h('div', { class: 'list' }, summary(found, state, known), list, more),
      side,
      items.length > 0 && h('aside', { class: 'pictures', 'aria-label': 'Pictures of the results' },
        ratingScatter(items, signal, open), popularityBars(items, signal, open)))].filter(Boolean);
}
