/** The report: how good the clusters are, in numbers with their meaning beside them. */
import { link } from './address.js';
import { getOnce } from './api.js';
import { termsOf } from './cards.js';
import { inertiaCurve } from './charts.js';
import { count, date, fill, h, inertia, number, percent } from './dom.js';

const region = h('div', { class: 'region' });
const RANKS = { blend: 'balanced', relevance: 'best match', popularity: 'most popular' };

/** @type {import('./main.js').View} */
export const report = {
  id: 'report',
  label: 'Report',
  keys: [],

  mount(panel) {
    panel.append(region);
  },

  show({ model, at, signal }) {
    fill(region, signal, async () => {
      const [found, { clusters }] = await Promise.all([getOnce(at(['report'])), getOnce(at(['clusters']))]);
      return content(model, found, clusters, signal);
    });
  },
};

const figureOf = (name, value, help) =>
  h('div', { class: 'figure' }, h('dt', {}, name), h('dd', {}, value), h('dd', { class: 'hint' }, help));

function content(model, found, clusters, signal) {
  const { silhouette, seconds, warnings, stability } = found;
  const texts = found.reach != null;
  const curve = inertiaCurve(signal);
  curve.update(found.history);
  return [
    h('h1', {}, `Report on ${model.name}, version ${model.version}`),
    h('p', { class: 'quiet' }, 'Made ', date(found.created), ` on the ${found.backend.toUpperCase()} in ${number(seconds.total)} s.`),
    warnings.length > 0 && h('div', { class: 'note' }, h('h2', {}, 'Good to know'), h('ul', {}, warnings.map((each) => h('li', {}, each)))),
    h('dl', { class: 'figures' },
      figureOf('Items', number(found.n_items), found.n_unclustered
        ? `${number(found.n_unclustered)} of them in no cluster: no text, or no known word.` : 'All of them in a cluster.'),
      figureOf('Clusters', number(found.n_clusters), `The largest holds ${percent(found.largest_share)} of the items.${found.n_empty ? ` ${number(found.n_empty)} are empty.` : ''}`),
      figureOf('Inertia', inertia(found.inertia), `With a single cluster it would be ${inertia(found.inertia_one_cluster)}. Lower is better.`),
      figureOf('Explained', percent(found.explained), `How much lower that is.${texts ? ' A few percent are normal for short texts: each uses words of its own.' : ' It only ever rises with the number of clusters.'}`),
      figureOf('Silhouette', silhouette ? number(silhouette.value) : '–', silhouette
        ? `From −1 to 1; over ${count(silhouette.n_sampled, 'item')}. ${texts ? 'Near 0 is normal for short texts.' : 'Near 1, clusters lie far apart; near 0, they touch.'}` : 'It takes two clusters to have one.'),
      stability && figureOf('Stability', number(stability.value), 'Do the same clusters come back from other draws of the items? 1: always; 0: they are those of the draw.'),
      found.junk_clusters && figureOf('Junk clusters', number(found.junk_clusters.length), found.junk_clusters.length
        ? `They hold together badly: ${found.junk_clusters.map((label) => found.names?.[label] ?? label).join('; ')}.` : 'Every cluster holds together.')),
    h('div', { class: 'pair' }, curve.figure, found.reach && reachTable(found.reach)),
    h('h2', {}, 'Sizes'), sizesTable(clusters),
    h('p', { class: 'hint' }, `Time: ${Object.entries(seconds).filter(([stage]) => stage !== 'total').map(([stage, time]) => `${stage} ${number(time)} s`).join(', ')}.`),
  ].filter(Boolean);
}

function reachTable({ n_queries: queries, limit, whole_catalogue: whole, nearest_cluster: nearest }) {
  return h('section', {},
    h('h2', {}, 'What a search can reach'),
    h('p', { class: 'hint' }, `How many different items ${number(queries)} searches show among their first ${limit}. The more, the less hidden.`),
    h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Order'), h('th', { scope: 'col', class: 'n' }, 'In the nearest cluster'), h('th', { scope: 'col', class: 'n' }, 'In all items'))),
      h('tbody', {}, Object.entries(RANKS).map(([rank, label]) => h('tr', {},
        h('th', { scope: 'row' }, label),
        ...[nearest, whole].map((of) => h('td', { class: 'n' }, of[rank] == null ? '–' : number(of[rank]))))))));
}

function sizesTable(clusters) {
  const bySize = [...clusters].sort((a, b) => b.size - a.size);
  const most = Math.max(1, bySize[0]?.size);
  return h('table', { class: 'sizes' },
    h('thead', { class: 'unseen' }, h('tr', {}, ['Cluster', 'Items', 'Words'].map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, bySize.map(({ label, name, size, top_terms: terms }) => h('tr', {},
      h('th', { scope: 'row' }, link({ tab: 'clusters', cluster: label }, { dir: 'auto' }, name ?? `Cluster ${label}`)),
      h('td', {}, h('span', { class: 'share', style: `--share: ${size / most}` }, number(size))),
      h('td', {}, termsOf({ top_terms: terms }))))));
}
