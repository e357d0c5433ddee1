/** The map of all items, and beside it the clusters: the whole list, or the items of one. */
import { link, read } from './address.js';
import { get, getOnce } from './api.js';
import { facts, heading, termsOf } from './cards.js';
import { button, count, fill, h } from './dom.js';
import { plan } from './plan.js';

const PAGE = 30;

const left = h('div', { class: 'region' });
const right = h('aside', { class: 'region', 'aria-label': 'Clusters' });
let context;
let drawn = null; // the map, once it is there
let chosen = null; // the cluster that the right side shows, undefined for all of them
let choosing = new AbortController();

/** @type {import('./main.js').View} */
export const map = {
  id: 'map',
  label: 'Map',
  keys: [],

  mount(panel) {
    panel.append(h('h1', { class: 'unseen' }, 'Map'), h('div', { class: 'map' }, left, right));
  },

  show(shown) {
    context = shown;
    chosen = null;
    drawn = null;
    left.replaceChildren();
    fill(left, context.signal, async () => {
      drawn = plan(await getOnce(context.at(['map'])), context.signal);
      drawn.choose(read().cluster);
      paintSwatches();
      return drawn.nodes;
    });
  },

  follow(state) {
    if (state.cluster === chosen && right.hasChildNodes()) return;
    chosen = state.cluster;
    drawn?.choose(chosen);
    choosing.abort();
    choosing = new AbortController();
    fill(right, AbortSignal.any([choosing.signal, context.signal]), async () => {
      const { clusters, unclustered } = await getOnce(context.at(['clusters']));
      return chosen == null ? listOf(clusters, unclustered) : itemsOf(clusters.find(({ label }) => label === Number(chosen)));
    }).then(paintSwatches);
  },
};

const swatch = (label) => h('span', { class: 'swatch', 'data-label': label, 'aria-hidden': 'true' }, label);

function paintSwatches() {
  for (const each of right.querySelectorAll('.swatch')) {
    const colour = drawn?.colours[each.dataset.label];
    if (colour != null) each.style.setProperty('--swatch', `var(--c${colour})`);
  }
}

function listOf(clusters, unclustered) {
  const bySize = clusters.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
  return [
    h('h2', {}, count(bySize.length, 'cluster')),
    h('ul', { class: 'clusters' }, bySize.map((cluster) =>
      h('li', {}, link({ cluster: cluster.label }, {}, swatch(cluster.label),
        h('span', { dir: 'auto' }, cluster.name ?? termsOf(cluster, 5)), h('span', { class: 'quiet' }, count(cluster.size, 'item')))))),
    unclustered > 0 ? h('p', { class: 'hint' }, [link({ tab: 'clusters', cluster: -1 }, {}, `${count(unclustered, 'item')} in no cluster`), '.']) : '',
  ];
}

async function itemsOf(cluster) {
  if (!cluster) return [h('p', {}, 'There is no such cluster. ', link({ cluster: null }, {}, 'All clusters'))];
  const { at } = context;
  const list = h('ol', { class: 'members' });
  const status = h('div', {});
  const signal = choosing.signal;
  const page = async (cursor) => {
    const answer = await get(at(['clusters', cluster.label, 'items'], { limit: PAGE, cursor }), signal);
    const first = list.children.length;
    list.append(...answer.items.map((item) => h('li', {}, heading('h3', item), facts(item))));
    status.replaceChildren(answer.next_cursor
      ? button('Show more', () => fill(status, signal, () => page(answer.next_cursor))) : '');
    if (cursor) list.children[first]?.querySelector('a').focus({ preventScroll: true });
    return [...status.childNodes];
  };
  await page();
  return [
    h('p', {}, link({ cluster: null }, {}, '← All clusters')),
    h('h2', {}, swatch(cluster.label), ' ', h('bdi', {}, cluster.name ?? `Cluster ${cluster.label}`)),
    h('p', {}, termsOf(cluster)),
    h('p', { class: 'quiet' }, count(cluster.size, 'item'), ' · ', link({ tab: 'clusters' }, {}, 'What sets it apart'), !context.model.wordless && [' · ',
      link({ tab: 'search', q: cluster.top_terms.slice(0, 3).join(' '), like: null, less: null, n: null }, {}, 'Search for these words')]),
    list, status,
  ];
}
