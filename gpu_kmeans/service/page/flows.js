/** The flow picture: bands of items from the clusters before to those after. */
import { figure, FONT, picture, pointing, tipLine } from './bokeh.js';
import { count, h } from './dom.js';

const MOST = 30; // clusters of a side; the smaller ones are drawn as one
const REST = -2;
const GAP = 0.15; // of what one cluster of the mean size takes
const STEPS = 24;
const ROW = 26; // pixels of a cluster, for its name
const NODE = 0.012;

export function flowPicture(found, signal, open) {
  const plan = arrange(found);
  const box = h('div', { class: 'chart flow', role: 'img', 'aria-label': `Flow picture: ${found.clusters.before.length} clusters before, ${found.clusters.after.length} after; ${count(found.n_moved, 'item')} moved. The table below says the same.` });
  box.style.height = `${Math.min(60, Math.max(8, plan.rows)) * ROW + 60}px`;
  picture(box, signal, (Bokeh, t) => draw(Bokeh, t, box, plan, open));
  return h('figure', { class: 'flows' }, h('figcaption', {}, h('h2', {}, 'Which cluster became which'),
    h('p', { class: 'hint' }, 'Before on the left, after on the right. A band with an edge is what the cluster became; the others are items that moved. Choose a band to list its items.')), box);
}

/** Where clusters and bands lie, from 0 at the top to the height of all. */
function arrange({ flows }) {
  const kept = ['before', 'after'].map((side) => largest(flows, side));
  const bands = new Map();
  for (const flow of flows) {
    const [one, other] = ['before', 'after'].map((side, at) => (kept[at].has(flow[side]) ? flow[side] : REST));
    const key = `${one}-${other}`;
    const band = bands.get(key) ?? { before: one, after: other, items: 0, matched: flow.matched && one !== REST && other !== REST };
    band.items += flow.items;
    bands.set(key, band);
  }
  const all = [...bands.values()];
  const names = ['before', 'after'].map((side) => new Map(flows.map((flow) => [flow[side], flow[`${side}_name`]])));
  const total = all.reduce((sum, { items }) => sum + items, 0);
  const first = side(all, 'before', names[0], (a, b) => b.items - a.items);
  const at = new Map(first.map(({ label }, place) => [label, place]));
  const pull = (label) => {
    const own = all.filter((band) => band.after === label);
    const matched = own.find((band) => band.matched);
    return matched ? at.get(matched.before) : own.reduce((sum, band) => sum + at.get(band.before) * band.items, 0) / own.reduce((sum, band) => sum + band.items, 0);
  };
  const second = side(all, 'after', names[1], (a, b) => pull(a.label) - pull(b.label));
  const rows = Math.max(first.length, second.length);
  const gap = (GAP * total) / rows;
  const least = (total * 0.6) / rows; // so that names do not lie on one another
  const heights = [first, second].map((nodes) => stack(nodes, gap, least));
  lead(all, first, second, 'before', 'after');
  lead(all, second, first, 'after', 'before');
  return { bands: all, first, second, rows, height: Math.max(...heights), total };
}

function largest(flows, side) {
  const sizes = new Map();
  for (const flow of flows) sizes.set(flow[side], (sizes.get(flow[side]) ?? 0) + flow.items);
  const labels = [...sizes.keys()].toSorted((a, b) => sizes.get(b) - sizes.get(a));
  return new Set(labels.length > MOST ? labels.slice(0, MOST - 1) : labels);
}

function side(bands, key, names, order) {
  const items = new Map();
  for (const band of bands) items.set(band[key], (items.get(band[key]) ?? 0) + band.items);
  const nodes = [...items].map(([label, many]) => ({
    label, items: many, name: label === REST ? `${count(names.size - MOST + 1, 'smaller cluster')}` : names.get(label),
  }));
  return nodes.toSorted((a, b) => (a.label === REST) - (b.label === REST) || order(a, b));
}

function stack(nodes, gap, least) {
  let top = 0;
  for (const node of nodes) {
    const slot = Math.max(node.items + gap, least);
    node.top = top + (slot - node.items) / 2;
    top += slot;
  }
  return top;
}

/** Give each band its place at the clusters of one side, in the order of their other ends. */
function lead(bands, nodes, others, key, otherKey) {
  const order = new Map(others.map(({ label }, place) => [label, place]));
  for (const node of nodes) {
    let top = node.top;
    for (const band of bands.filter((each) => each[key] === node.label).toSorted((a, b) => order.get(a[otherKey]) - order.get(b[otherKey]))) {
      band[`${key}Top`] = top;
      top += band.items;
    }
  }
}

/** The outline of a band: a smooth step from its left to its right end. */
function ribbon({ beforeTop, afterTop, items }) {
  const across = Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS);
  const edge = across.map((share) => beforeTop + (afterTop - beforeTop) * share * share * (3 - 2 * share));
  const x = across.map((share) => NODE + share * (1 - 2 * NODE));
  return { xs: [...x, ...x.toReversed()], ys: [...edge, ...edge.map((y) => y + items).toReversed()] };
}

function draw(Bokeh, t, box, { bands, first, second, height }, open) {
  const narrow = box.clientWidth < 600;
  const margin = narrow ? 0.9 : 0.75;
  const plot = figure(Bokeh, t, {
    x_range: new Bokeh.Range1d({ start: -margin, end: 1 + margin }),
    y_range: new Bokeh.Range1d({ start: height, end: 0 }),
  });
  for (const part of [...plot.xaxis, ...plot.yaxis, ...plot.xgrid, ...plot.ygrid]) part.visible = false;
  const sorted = bands.toSorted((a, b) => b.matched - a.matched || b.items - a.items); // what moved lies on top
  const shapes = sorted.map(ribbon);
  const source = new Bokeh.ColumnDataSource({ data: {
    xs: shapes.map(({ xs }) => xs), ys: shapes.map(({ ys }) => ys),
    fill: sorted.map(({ matched }) => (matched ? t.accent : t.palette[4])), alpha: sorted.map(({ matched }) => (matched ? 0.35 : 0.5)),
    line: sorted.map(({ matched }) => (matched ? t.accent : null)), width: sorted.map(({ matched }) => (matched ? 1 : 0)),
  } });
  const patches = plot.patches({ field: 'xs' }, { field: 'ys' }, {
    source, fill_color: { field: 'fill' }, fill_alpha: { field: 'alpha' }, line_color: { field: 'line' }, line_width: { field: 'width' },
  });
  for (const [nodes, left, align, shift] of [[first, 0, 'right', -6], [second, 1 - NODE, 'left', 6]]) {
    plot.quad({
      left: nodes.map(() => left), right: nodes.map(() => left + NODE),
      top: nodes.map(({ top }) => top), bottom: nodes.map(({ top, items }) => top + items), fill_color: t.accent, line_color: t.accent,
    });
    const cut = cutter(narrow ? '10px' : '12px', (margin / (1 + 2 * margin)) * box.clientWidth - 14);
    plot.text(nodes.map(() => (align === 'right' ? left : left + NODE)), nodes.map(({ top, items }) => top + items / 2),
      nodes.map(({ name, items }) => (align === 'right' ? cut(name, (short) => `${short}  ${items}`) : cut(name, (short) => `${items}  ${short}`))), {
        text_align: align, text_baseline: 'middle', text_color: t.ink, text_font: FONT, text_font_size: narrow ? '10px' : '12px', x_offset: shift,
      });
  }
  pointing(Bokeh, plot, box, patches,
    (at) => tipLine(`${nameOf(first, sorted[at].before)} → ${nameOf(second, sorted[at].after)}`, count(sorted[at].items, 'item')),
    (at) => sorted[at].before !== REST && sorted[at].after !== REST && open(sorted[at]));
  return plot;
}

const nameOf = (nodes, label) => nodes.find((node) => node.label === label).name;

/** Shorten names until what they are part of is no wider than so many pixels. */
function cutter(size, pixels) {
  const pen = document.createElement('canvas').getContext('2d');
  pen.font = `${size} ${FONT}`;
  const fits = (text) => pen.measureText(text).width <= pixels;
  return (name, whole) => {
    if (fits(whole(name))) return whole(name);
    let most = name.length - 1;
    while (most > 1 && !fits(whole(`${name.slice(0, most)}…`))) most -= 1;
    return whole(`${name.slice(0, most).trimEnd()}…`);
  };
}
