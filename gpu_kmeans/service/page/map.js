/** The map of all items, and beside it the clusters: the whole list, or the items of one. */
import { go, link, read } from './address.js';
import { get, getOnce } from './api.js';
import { facts, heading, nameOf, termsOf } from './cards.js';
import { figure, picture, pointing, tipLine } from './charts.js';
import { button, count, fill, h } from './dom.js';

const PAGE = 30;
const COLOURS = 7;
const coarse = matchMedia('(pointer: coarse)');

const left = h('div', { class: 'region' });
const right = h('aside', { class: 'region', 'aria-label': 'Clusters' });
let context;
let colours = [];
let drawn = null; // the map's handles
let chosen = null; // the cluster that the right side shows, undefined for all of them
let choosing = new AbortController();

/** @type {import('./main.js').View} */
export const map = {
  id: 'map',
  label: 'Map',
  keys: [],

  mount(panel) {
    panel.append(h('div', { class: 'map' }, left, right));
  },

  show(shown) {
    context = shown;
    chosen = null;
    drawn = null;
    colours = [];
    left.replaceChildren();
    fill(left, context.signal, async () => {
      const data = await getOnce(context.at(['map']));
      colours = spread(data.discs);
      drawn = plan(data, context.signal);
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
    const colour = colours[each.dataset.label];
    if (colour !== undefined) each.style.setProperty('--swatch', `var(--c${colour})`);
  }
}

function listOf(clusters, unclustered) {
  const bySize = clusters.filter(({ size }) => size > 0).sort((a, b) => b.size - a.size);
  return [
    h('h2', {}, count(bySize.length, 'cluster')),
    h('ul', { class: 'clusters' }, bySize.map((cluster) =>
      h('li', {}, link({ cluster: cluster.label }, {}, swatch(cluster.label),
        h('span', {}, termsOf(cluster, 5)), h('span', { class: 'quiet' }, count(cluster.size, 'item')))))),
    unclustered > 0 ? h('p', { class: 'hint' }, `${count(unclustered, 'item')} without a known word in no cluster.`) : '',
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
    h('h2', {}, swatch(cluster.label), ` Cluster ${cluster.label}`),
    h('p', {}, termsOf(cluster)),
    h('p', { class: 'quiet' }, count(cluster.size, 'item'), ' · ',
      link({ tab: 'search', q: cluster.top_terms.slice(0, 3).join(' '), n: null }, {}, 'Search for these words')),
    list, status,
  ];
}

/** Colours by label, such that discs of one colour lie far from each other. */
function spread(discs) {
  const places = Array.from({ length: COLOURS }, () => []);
  const given = [];
  for (const disc of discs) {
    const gap = (place) => Math.min(Infinity, ...place.map((other) =>
      Math.hypot(disc.x - other.x, disc.y - other.y) - disc.radius - other.radius));
    const gaps = places.map(gap);
    given[disc.label] = gaps.indexOf(Math.max(...gaps));
    places[given[disc.label]].push(disc);
  }
  return given;
}

/** The map as nodes, with what moves it. */
function plan(data, signal) {
  const box = h('div', {
    class: 'chart', tabindex: 0, role: 'group',
    'aria-label': `Map of ${count(data.n, 'item')} in ${count(data.discs.length, 'cluster')}. The list of clusters holds the same items.`,
    'aria-describedby': 'map-help',
  });
  const edges = (get, sign) => Math.max(...data.discs.map((disc) => sign * get(disc) + disc.radius)) * sign;
  const bounds = {
    left: edges(({ x }) => x, -1), right: edges(({ x }) => x, 1), top: edges(({ y }) => y, 1), bottom: edges(({ y }) => y, -1),
  };
  const whole = { x: (bounds.left + bounds.right) / 2, y: (bounds.bottom + bounds.top) / 2 };
  let view = null; // its middle, and how much of the map a pixel holds; null is the whole map
  let label = null;
  let parts = null; // of the present drawing

  const fitting = () => 1.04 * Math.max(
    (bounds.right - bounds.left) / (box.clientWidth || 1), (bounds.top - bounds.bottom) / (box.clientHeight || 1));

  /** Show a part of the map, with one unit as long across as down. */
  const look = (next) => {
    const pixel = Math.min(Math.max(next.pixel, fitting() / 60), fitting() * 1.5);
    view = { ...next, pixel };
    if (!parts) return;
    const [dx, dy] = [pixel * box.clientWidth / 2, pixel * box.clientHeight / 2];
    parts.plot.x_range.setv({ start: view.x - dx, end: view.x + dx });
    parts.plot.y_range.setv({ start: view.y - dy, end: view.y + dy });
  };

  /** Fit points and labels to the scale: as large as there is room. */
  const dress = () => {
    const { plot, points, bright, words } = parts;
    view.pixel = (plot.x_range.end - plot.x_range.start) / box.clientWidth;
    view.x = (plot.x_range.end + plot.x_range.start) / 2;
    view.y = (plot.y_range.end + plot.y_range.start) / 2;
    const area = data.discs.reduce((sum, { radius }) => sum + Math.PI * radius ** 2, 0);
    const size = Math.min(Math.max(0.75 * Math.sqrt(area / data.n) / view.pixel, 2.5), 12);
    points.glyph.size = size;
    bright.glyph.size = size + 1;
    words.data_source.data = { ...words.data_source.data, text: data.discs.map((disc) => labelOf(disc, disc.radius / view.pixel)) };
  };

  const choose = (next) => {
    label = next == null ? null : Number(next);
    if (!parts) return;
    const { points, bright } = parts;
    points.glyph.fill_alpha = label == null ? 0.8 : 0.15;
    bright.data_source.data = members(data, label);
    const disc = data.discs.find((each) => each.label === label);
    const seen = disc && Math.abs(disc.x - view.x) < view.pixel * box.clientWidth / 2 && Math.abs(disc.y - view.y) < view.pixel * box.clientHeight / 2;
    if (disc && !seen) look({ ...view, x: disc.x, y: disc.y });
  };

  picture(box, signal, (Bokeh, t) => {
    parts = draw(Bokeh, t, box, data, dress);
    look(view.pixel === 1 ? { ...whole, pixel: fitting() } : view);
    dress();
    choose(label);
    return parts.plot;
  });
  const resized = new ResizeObserver(() => box.clientWidth && look(view.x === whole.x && view.y === whole.y ? { ...whole, pixel: fitting() } : view));
  resized.observe(box);
  signal.addEventListener('abort', () => resized.disconnect());

  const zoom = (factor) => look({ ...view, pixel: view.pixel * factor });
  const reset = () => look({ ...whole, pixel: fitting() });
  const activate = (on) => {
    if (!parts) return;
    parts.plot.toolbar.active_scroll = on ? parts.wheel : null;
    if (coarse.matches) parts.plot.toolbar.active_drag = on ? parts.pan : null;
    hand.setAttribute('aria-pressed', on);
  };
  const hand = button('Move and zoom with fingers', () => activate(hand.getAttribute('aria-pressed') !== 'true'), { 'aria-pressed': 'false', class: 'touch' });
  steer(box, activate, { zoom, reset, move: (dx, dy) => look({ ...view, x: view.x + 60 * dx * view.pixel, y: view.y + 60 * dy * view.pixel }) });

  const nodes = [
    h('div', { class: 'canvas' }, box, h('div', { class: 'tools' },
      button('+', () => zoom(1 / 1.5), { 'aria-label': 'Zoom in' }),
      button('−', () => zoom(1.5), { 'aria-label': 'Zoom out' }),
      button('Whole map', reset), hand)),
    h('p', { class: 'hint', id: 'map-help' }, data.note, h('span', { class: 'mouse' },
      ' Each disc is a cluster, each dot an item. Drag to move; click the map first to zoom with the wheel. By keyboard: arrows, + and −, 0 for the whole map.')),
  ];
  return { nodes, choose };
}

/** The wheel scrolls the page until the map has been clicked; keys move the map that has the focus. */
function steer(box, activate, { zoom, reset, move }) {
  if (!coarse.matches) {
    box.addEventListener('pointerdown', () => activate(true));
    box.addEventListener('pointerleave', () => activate(false));
  }
  const keys = {
    '+': () => zoom(1 / 1.5), '=': () => zoom(1 / 1.5), '-': () => zoom(1.5), 0: reset, Escape: () => activate(false),
    ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, 1), ArrowDown: () => move(0, -1),
  };
  box.addEventListener('keydown', (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    keys[event.key]();
    event.preventDefault();
  });
}

function labelOf(disc, radius) {
  if (radius < 11) return '';
  if (radius < 45) return String(disc.label);
  return `${disc.label}  ${disc.top_terms.slice(0, radius < 90 ? 1 : 2).join(', ')}`;
}

/** Columns of the items of one cluster. */
function members(data, label) {
  const at = label == null ? [] : [...data.cluster.keys()].filter((place) => data.cluster[place] === label);
  return { x: at.map((place) => data.x[place]), y: at.map((place) => data.y[place]) };
}

function draw(Bokeh, t, box, data, dress) {
  const plot = figure(Bokeh, t, {
    x_range: new Bokeh.Range1d({ start: 0, end: 1 }), y_range: new Bokeh.Range1d({ start: 0, end: 1 }),
    min_border: 0, lod_factor: 6, lod_timeout: 200,
  });
  for (const part of [...plot.xaxis, ...plot.yaxis, ...plot.xgrid, ...plot.ygrid]) part.visible = false;
  const colour = (label) => t.palette[colours[label]];
  const discs = new Bokeh.ColumnDataSource({ data: {
    x: data.discs.map(({ x }) => x), y: data.discs.map(({ y }) => y), radius: data.discs.map(({ radius }) => radius),
    colour: data.discs.map(({ label }) => colour(label)), text: data.discs.map(() => ''),
  } });
  plot.circle({ field: 'x' }, { field: 'y' }, { field: 'radius' }, {
    source: discs, fill_color: { field: 'colour' }, fill_alpha: 0.08, line_color: { field: 'colour' }, line_alpha: 0.5,
  });
  const points = plot.scatter({ field: 'x' }, { field: 'y' }, {
    source: new Bokeh.ColumnDataSource({ data: { x: data.x, y: data.y, colour: data.cluster.map(colour) } }),
    size: 4, hit_dilation: 2, fill_color: { field: 'colour' }, fill_alpha: 0.8, line_color: null,
  });
  const bright = plot.scatter({ field: 'x' }, { field: 'y' }, {
    source: new Bokeh.ColumnDataSource({ data: { x: [], y: [] } }), size: 5, fill_color: t.ink, line_color: null,
  });
  const words = plot.text({ field: 'x' }, { field: 'y' }, { field: 'text' }, {
    source: discs, text_color: t.ink, text_font: 'system-ui, sans-serif', text_font_size: '13px', text_font_style: 'bold',
    text_align: 'center', text_baseline: 'middle', background_fill_color: t.paper, background_fill_alpha: 0.75, padding: 3, border_radius: 3,
  });
  const pan = new Bokeh.PanTool();
  const wheel = new Bokeh.WheelZoomTool();
  plot.add_tools(pan, wheel);
  plot.toolbar.active_scroll = null;
  if (coarse.matches) plot.toolbar.active_drag = null;
  pointing(Bokeh, plot, box, points,
    (at) => tipLine(nameOf({ title: data.title[at], id: data.id[at] }), `cluster ${data.cluster[at]}`),
    (at) => go({ item: data.id[at] }));
  plot.on_event('tap', ({ x, y }) => {
    if (points.data_source.inspected.indices.length) return;
    const hit = data.discs.find((disc) => Math.hypot(disc.x - x, disc.y - y) < disc.radius);
    go({ cluster: hit?.label });
  });
  let patience;
  plot.x_range.change.connect(() => {
    clearTimeout(patience);
    patience = setTimeout(dress, 150);
  });
  return { plot, points, bright, words, pan, wheel };
}
