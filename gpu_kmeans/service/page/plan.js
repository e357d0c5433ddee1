/**
 * The drawing of the map: a disc for each cluster, a dot for each item, and how one moves about.
 */
import { go } from './address.js';
import { COLOURS, figure, FONT, picture, pointing, tipLine } from './bokeh.js';
import { nameOf } from './cards.js';
import { button, count, h } from './dom.js';

const coarse = matchMedia('(pointer: coarse)');

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

/**
 * The map as nodes, the colours of its clusters by label, and a way to choose one of them.
 *
 * @param {object} data as the service sends it
 * @param {AbortSignal} signal takes the map away
 */
export function plan(data, signal) {
  const colours = spread(data.discs);
  const box = h('div', {
    class: 'chart', tabindex: 0, role: 'group',
    'aria-label': `Map of ${count(data.n, 'item')} in ${count(data.discs.length, 'cluster')}. The list of clusters holds the same items.`,
    'aria-describedby': 'map-help',
  });
  const edges = (axis) => [
    Math.min(...data.discs.map((disc) => disc[axis] - disc.radius)),
    Math.max(...data.discs.map((disc) => disc[axis] + disc.radius)),
  ];
  const [[west, east], [south, north]] = [edges('x'), edges('y')];
  const area = data.discs.reduce((sum, { radius }) => sum + Math.PI * radius ** 2, 0);
  /** How much of the map a pixel holds when all of it is to be seen. */
  const fitting = () => 1.04 * Math.max((east - west) / (box.clientWidth || 1), (north - south) / (box.clientHeight || 1));
  let view = null; // its middle, and how much of the map a pixel holds; null is the whole map
  let label = null; // of the chosen cluster
  let parts = null; // of the present drawing
  const present = () => view ?? { x: (west + east) / 2, y: (south + north) / 2, pixel: fitting() };

  /** Show a part of the map, with one unit as long across as down. */
  const look = (next) => {
    view = next && { ...next, pixel: Math.min(Math.max(next.pixel, fitting() / 60), fitting() * 1.5) };
    if (!parts) return;
    const { x, y, pixel } = present();
    const [dx, dy] = [pixel * box.clientWidth / 2, pixel * box.clientHeight / 2];
    const most = fitting() * 1.5 * box.clientWidth; // as far as the wheel goes too
    parts.plot.x_range.setv({ start: x - dx, end: x + dx, min_interval: most / 90, max_interval: most });
    parts.plot.y_range.setv({ start: y - dy, end: y + dy });
    dress();
  };

  /** Points and labels as large as the scale has room for. */
  const dress = () => {
    const { points, bright, words } = parts;
    const { pixel } = present();
    const size = Math.min(Math.max(0.75 * Math.sqrt(area / data.n) / pixel, 2.5), 12);
    points.glyph.setv({ size, hit_dilation: size < 8 ? 2 : 1 }); // small ones are hard to hit
    bright.glyph.size = size + 1;
    words.data_source.data = { ...words.data_source.data, text: data.discs.map((disc) => labelOf(disc, disc.radius / pixel)) };
  };

  const choose = (next) => {
    label = next == null ? null : Number(next);
    if (!parts) return;
    const { points, bright, colourOf } = parts;
    points.glyph.fill_alpha = label == null ? 0.8 : 0.15;
    bright.glyph.fill_color = colourOf(label);
    bright.data_source.data = members(data, label);
    const disc = data.discs.find((each) => each.label === label);
    const { x, y, pixel } = present();
    const outside = disc && (Math.abs(disc.x - x) > pixel * box.clientWidth / 2 || Math.abs(disc.y - y) > pixel * box.clientHeight / 2);
    if (outside) look({ x: disc.x, y: disc.y, pixel });
  };

  let patience;
  picture(box, signal, (Bokeh, t) => {
    parts = draw(Bokeh, t, box, data, (of) => t.palette[colours[of]] ?? t.ink);
    parts.plot.on_event('rangesupdate', ({ x0, x1, y0, y1 }) => {
      view = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, pixel: (x1 - x0) / box.clientWidth };
      clearTimeout(patience);
      patience = setTimeout(dress, 200);
    });
    look(view);
    choose(label);
    return parts.plot;
  });
  const resized = new ResizeObserver(() => box.clientWidth && look(view));
  resized.observe(box);
  signal.addEventListener('abort', () => resized.disconnect());

  const zoom = (factor) => look({ ...present(), pixel: present().pixel * factor });
  const move = (dx, dy) => {
    const { x, y, pixel } = present();
    look({ x: x + 60 * dx * pixel, y: y + 60 * dy * pixel, pixel });
  };
  const reset = () => look(null);
  const activate = (on) => {
    if (!parts) return;
    parts.plot.toolbar.active_scroll = on ? parts.wheel : null;
    if (coarse.matches) parts.plot.toolbar.active_drag = on ? parts.pan : null;
    hand.setAttribute('aria-pressed', on);
  };
  const hand = button('Move by touch', () => activate(hand.getAttribute('aria-pressed') !== 'true'), { 'aria-pressed': 'false', class: 'touch' });
  steer(box, activate, { zoom, reset, move });

  const nodes = [
    box,
    h('p', { class: 'actions tools' },
      button('+', () => zoom(1 / 1.5), { 'aria-label': 'Zoom in' }),
      button('−', () => zoom(1.5), { 'aria-label': 'Zoom out' }),
      button('Whole map', reset), hand),
    h('p', { class: 'hint', id: 'map-help' }, `${data.note.replace(/\.?$/, '.')} Each dot is an item; click one to open it.`, h('span', { class: 'mouse' },
      ' Drag to move; click the map first to zoom with the wheel. By keyboard: arrows, + and −, 0 for the whole map.')),
  ];
  return { nodes, colours, choose };
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
  if (radius < 18) return '';
  if (radius < 45) return String(disc.label);
  return `${disc.label}  ${disc.top_terms.slice(0, radius < 90 ? 1 : 2).join(', ')}`;
}

/** Columns of the items of one cluster. */
function members(data, label) {
  const at = label == null ? [] : [...data.cluster.keys()].filter((place) => data.cluster[place] === label);
  return { x: at.map((place) => data.x[place]), y: at.map((place) => data.y[place]) };
}

function draw(Bokeh, t, box, data, colourOf) {
  const plot = figure(Bokeh, t, {
    x_range: new Bokeh.Range1d({ start: 0, end: 1 }), y_range: new Bokeh.Range1d({ start: 0, end: 1 }),
    min_border: 0, lod_factor: 6, lod_timeout: 200,
  });
  for (const part of [...plot.xaxis, ...plot.yaxis, ...plot.xgrid, ...plot.ygrid]) part.visible = false;
  const discs = new Bokeh.ColumnDataSource({ data: {
    x: data.discs.map(({ x }) => x), y: data.discs.map(({ y }) => y), radius: data.discs.map(({ radius }) => radius),
    top: data.discs.map(({ y, radius }) => y + radius),
    colour: data.discs.map(({ label }) => colourOf(label)), text: data.discs.map(() => ''),
  } });
  plot.circle({ field: 'x' }, { field: 'y' }, { field: 'radius' }, {
    source: discs, fill_color: { field: 'colour' }, fill_alpha: 0.08, line_color: { field: 'colour' }, line_alpha: 0.5,
  });
  const points = plot.scatter({ field: 'x' }, { field: 'y' }, {
    source: new Bokeh.ColumnDataSource({ data: { x: data.x, y: data.y, colour: data.cluster.map(colourOf) } }),
    size: 4, fill_color: { field: 'colour' }, fill_alpha: 0.8, line_color: null,
  });
  const bright = plot.scatter({ field: 'x' }, { field: 'y' }, {
    source: new Bokeh.ColumnDataSource({ data: { x: [], y: [] } }), size: 5, fill_color: t.ink, line_color: null,
  });
  const words = plot.text({ field: 'x' }, { field: 'top' }, { field: 'text' }, {
    source: discs, text_color: t.ink, text_font: FONT, text_font_size: '13px', text_font_style: 'bold',
    text_align: 'center', text_baseline: 'middle', background_fill_color: t.paper, background_fill_alpha: 0.85, padding: 2, border_radius: 3,
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
  return { plot, points, bright, words, pan, wheel, colourOf };
}
