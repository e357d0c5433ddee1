/** Clusters as a way to look at the results: how many hits each has; a click restricts to it. */
import { link, listed, toggled } from './address.js';
import { button, h, number } from './dom.js';

const FEW = 8;
let all = false; // whether the reader wants to see them all

/** The clusters with hits; those that are chosen first come first. */
export function facets({ facets: found }, state, isArticle) {
  if (isArticle || !found.length) return null;
  const chosen = new Set(listed(state.in).map(Number));
  const most = Math.max(...found.map(({ hits }) => hits));
  const ordered = [...found.filter(({ label }) => chosen.has(label)), ...found.filter(({ label }) => !chosen.has(label))];
  const row = ({ label, name, hits }) => h('li', {}, link({ in: toggled(state.in, label), n: null }, {
    class: 'facet', 'aria-current': chosen.has(label) && 'true', style: `--share: ${hits / most}`,
    title: chosen.has(label) ? 'Show all clusters again' : 'Show this cluster alone',
  }, h('span', { dir: 'auto' }, name), h('span', { class: 'hits' }, number(hits), chosen.has(label) && h('span', { 'aria-hidden': 'true' }, ' ×'))));
  const list = h('ul', { class: 'facets' }, ordered.slice(0, all ? Infinity : Math.max(FEW, chosen.size)).map(row));
  const more = !all && ordered.length > list.children.length && button(`Show all ${ordered.length}`, () => {
    all = true;
    list.replaceChildren(...ordered.map(row));
    more.remove();
  }, { class: 'plain' });
  return h('details', { class: 'apart', open: matchMedia('(min-width: 62rem)').matches || chosen.size > 0 || null },
    h('summary', {}, 'Clusters', h('span', { class: 'quiet' }, ` ${number(found.length)} with results`)), list, more);
}
