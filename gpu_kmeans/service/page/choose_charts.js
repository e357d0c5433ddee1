/** What speaks for each number of clusters, as small pictures; and the same as a table. */
import { figure, picture, pointing, tipLine } from './bokeh.js';
import { count, h, number, percent } from './dom.js';

const LOGARITHMIC_FROM = 24;
const PANELS = [
  ['Explained share', 'Only ever rises: no evidence alone.', ['explained']],
  ['Silhouette', 'Is one’s own cluster nearer than the next?', ['silhouette']],
  ['Stability', 'Are they found again in other draws of the rows?', ['stability']],
  ['Largest and smallest', 'Shares of the rows.', ['largest', 'smallest']],
  ['Coherence', 'Do the words of a cluster occur together?', ['coherence']],
];

export function evidence(candidates, recommended, signal) {
  const panels = PANELS.filter(([, , keys]) => candidates.every((each) => keys.every((key) => each[key] != null)));
  return h('div', {},
    h('div', { class: 'panels' }, panels.map(([name, meaning, keys]) => panel(name, meaning, keys, candidates, recommended, signal))),
    recommended.length > 0 && h('p', { class: 'hint' }, 'The diamonds are the recommended numbers.'),
    h('details', {}, h('summary', {}, 'The same as a table'), table(candidates, recommended)));
}

function panel(name, meaning, keys, candidates, recommended, signal) {
  const box = h('div', { class: 'chart', role: 'img', 'aria-label': inWords(name, keys[0], candidates) });
  const ks = candidates.map(({ k }) => k);
  picture(box, signal, (Bokeh, t) => {
    const wide = ks.at(-1) >= LOGARITHMIC_FROM;
    const values = keys.flatMap((key) => candidates.map((each) => each[key]));
    const [lowest, highest] = [Math.min(0, ...values), Math.max(...values)];
    const room = 0.1 * (highest - lowest || 1);
    const y_range = new Bokeh.Range1d({ start: lowest < 0 ? lowest - room : 0, end: highest + room });
    const plot = figure(Bokeh, t, { x_axis_type: wide ? 'log' : 'linear', y_range });
    let points;
    keys.forEach((key, place) => {
      const y = candidates.map((each) => each[key]);
      const source = new Bokeh.ColumnDataSource({ data: { x: ks, y } });
      plot.line({ field: 'x' }, { field: 'y' }, { source, line_color: t.accent, line_width: 2, line_dash: place ? [5, 4] : [] });
      points = plot.scatter({ field: 'x' }, { field: 'y' }, { source, size: 6, fill_color: t.accent, line_color: null, marker: { value: place ? 'inverted_triangle' : 'circle' } });
      const at = ks.flatMap((k, index) => (recommended.includes(k) ? [index] : []));
      plot.scatter(at.map((index) => ks[index]), at.map((index) => y[index]), { marker: { value: 'diamond' }, size: 16, fill_color: t.palette[1], line_color: t.ink });
      pointing(Bokeh, plot, box, points, (index) => tipLine(count(ks[index], 'cluster'), `${key} ${number(y[index])}`));
    });
    Object.assign(plot.x_range, { range_padding: 0.12, default_span: 1 });
    plot.xaxis.ticker = plot.xgrid.ticker = new Bokeh.FixedTicker({ ticks: ticks(ks, recommended, wide) });
    plot.xaxis.formatter = new Bokeh.NumeralTickFormatter({ format: '0' });
    plot.yaxis.formatter = new Bokeh.NumeralTickFormatter({ format: '0[.]00' });
    return plot;
  });
  return h('figure', {}, h('figcaption', {}, h('h3', {}, name), h('p', { class: 'hint' }, meaning)), box);
}

/** Numbers below an axis: the recommended ones, the ends, and others with room around them. */
function ticks(ks, recommended, wide) {
  const at = wide ? Math.log : Number;
  const span = Math.max(at(ks.at(-1)) - at(ks[0]), 1e-9);
  const shown = [];
  for (const k of [...recommended, ks[0], ks.at(-1), ...ks]) {
    if (shown.every((other) => Math.abs(at(k) - at(other)) >= 0.13 * span)) shown.push(k);
  }
  return shown.toSorted((a, b) => a - b);
}

function inWords(name, key, candidates) {
  const best = candidates.reduce((a, b) => (b[key] > a[key] ? b : a));
  return `${name} for ${candidates[0].k} to ${candidates.at(-1).k} clusters, highest at ${best.k}: ${number(best[key])}. The table below has the same numbers.`;
}

function table(candidates, recommended) {
  const texts = candidates[0].coherence != null;
  const columns = ['Clusters', 'Explained', 'Silhouette', 'Stability', 'Largest', 'Smallest', ...(texts ? ['Coherence'] : []), ''];
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'What speaks for each number' }, h('table', {},
    h('thead', {}, h('tr', {}, columns.map((column) => h('th', { scope: 'col', class: 'n' }, column || h('span', { class: 'unseen' }, 'Recommended'))))),
    h('tbody', {}, candidates.map((c) => h('tr', {},
      h('th', { scope: 'row', class: 'n' }, c.k),
      [percent(c.explained), number(c.silhouette), number(c.stability), percent(c.largest), percent(c.smallest), ...(texts ? [number(c.coherence)] : [])]
        .map((cell) => h('td', { class: 'n' }, cell)),
      h('td', {}, recommended.includes(c.k) ? 'recommended' : ''))))));
}
