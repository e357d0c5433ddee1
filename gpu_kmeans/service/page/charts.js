/**
 * Pictures, drawn by BokehJS in the colours of the style sheet. It is loaded when the first
 * picture comes into view. What shows under the pointer is a node of our own, so that titles
 * are text and nothing else.
 */
import { nameOf } from './cards.js';
import { count, h, inertia, number } from './dom.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
const FONT = 'system-ui, sans-serif';
const COLOURS = 7; // --c0 to --c6

const script = (src) => new Promise((resolve, reject) => {
  document.head.append(h('script', { src, onload: resolve, onerror: reject }));
});

let library = null;

function loadBokeh() {
  library ??= script('/assets/vendor/bokeh.min.js')
    .then(() => script('/assets/vendor/bokeh-api.min.js'))
    .then(() => globalThis.Bokeh);
  library.catch(() => { library = null; });
  return library;
}

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read('ink'), quiet: read('quiet'), line: read('line'), paper: read('paper'), accent: read('accent'),
    palette: Array.from({ length: COLOURS }, (_, at) => read(`c${at}`)),
  };
}

/**
 * Keep a picture in a box: drawn once it comes into view, and again when light turns to dark.
 *
 * @param {HTMLElement} box whose height is given by the style sheet, so that nothing moves
 * @param {AbortSignal} signal takes the picture away
 * @param {(Bokeh: any, theme: object) => any} make the plot
 * @returns {() => void} draws it anew
 */
export function picture(box, signal, make) {
  let plot = null;
  const clear = () => {
    hideTip();
    plot?.document?.remove_root(plot);
    plot = null;
    box.replaceChildren();
  };
  const draw = async () => {
    try {
      const Bokeh = await loadBokeh();
      if (signal.aborted) return;
      clear();
      plot = make(Bokeh, theme());
      const view = await Bokeh.Plotting.show(plot, box);
      // The canvas answers no key, and what it shows stands beside it as text.
      view.canvas_view.events_el.tabIndex = -1;
    } catch (error) {
      console.error(error);
      box.replaceChildren(h('p', { class: 'quiet' }, 'The picture could not be drawn.'));
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    watcher.disconnect();
    dark.addEventListener('change', draw, { signal });
    draw();
  });
  watcher.observe(box);
  signal.addEventListener('abort', () => {
    watcher.disconnect();
    clear();
  });
  return () => plot && draw();
}

/** A plot with the page's look and no toolbar. */
export function figure(Bokeh, t, options) {
  const plot = Bokeh.Plotting.figure({
    toolbar_location: null, tools: [], sizing_mode: 'stretch_both', min_border: 4,
    background_fill_color: null, border_fill_color: null, outline_line_color: null, ...options,
  });
  for (const axis of [...plot.xaxis, ...plot.yaxis]) {
    Object.assign(axis, {
      axis_line_color: t.line, major_tick_line_color: null, minor_tick_line_color: null,
      major_label_text_color: t.quiet, major_label_text_font: FONT, major_label_text_font_size: '12px',
      axis_label_text_color: t.quiet, axis_label_text_font: FONT, axis_label_text_font_size: '13px',
      axis_label_text_font_style: 'normal',
    });
  }
  for (const grid of [...plot.xgrid, ...plot.ygrid]) grid.grid_line_color = t.line;
  return plot;
}

const tip = h('div', { class: 'tip', hidden: true });

function hideTip() {
  tip.hidden = true;
}

/** Say what is under the pointer, and open what is clicked. */
export function pointing(Bokeh, plot, box, renderer, describe, open) {
  plot.add_tools(
    new Bokeh.HoverTool({
      renderers: [renderer], tooltips: null,
      callback: { execute: (_, { index }) => showTip(index.indices.map(describe)) },
    }),
    new Bokeh.TapTool({
      renderers: [renderer], behavior: 'inspect',
      callback: { execute: (_, { source }) => open?.(source.inspected.indices[0]) },
    }));
  box.onpointermove = ({ clientX, clientY }) => {
    const right = clientX > innerWidth / 2;
    tip.style.left = right ? '' : `${clientX + 14}px`;
    tip.style.right = right ? `${document.documentElement.clientWidth - clientX + 14}px` : '';
    tip.style.top = `${clientY + 14}px`;
  };
  box.onpointerleave = hideTip;
}

const MOST_IN_TIP = 3;

function showTip(lines) {
  tip.hidden = lines.length === 0;
  const rest = lines.length - MOST_IN_TIP;
  tip.replaceChildren(...lines.slice(0, MOST_IN_TIP), rest > 0 ? `and ${rest} more` : '');
  if (!tip.isConnected) document.body.append(tip);
}

export const tipLine = (title, facts) =>
  h('p', {}, h('strong', { dir: 'auto' }, title), h('br'), facts);

/** A picture with its heading; `alternative` says it in words. */
function card(title, box, alternative, hint) {
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', alternative);
  return h('figure', {}, h('figcaption', {}, h('h3', {}, title), hint && h('p', { class: 'hint' }, hint)), box);
}

const span = (values, write = number) => `from ${write(Math.min(...values))} to ${write(Math.max(...values))}`;
const plainNumbers = (Bokeh) => new Bokeh.NumeralTickFormatter({ format: '0,0[.]0' });

/** Popularity against vote average, each point with the rank of its item. */
export function ratingScatter(items, signal, open) {
  const dots = items.map((item, place) => ({ item, rank: place + 1 }))
    .filter(({ item }) => item.popularity != null && item.vote_average != null);
  const title = 'Popularity and rating';
  if (!dots.length) return h('figure', {}, h('h3', {}, title), h('p', { class: 'quiet' }, 'These items have no ratings to draw.'));
  const x = dots.map(({ item }) => item.popularity);
  const y = dots.map(({ item }) => item.vote_average);
  const logarithmic = Math.min(...x) > 0 && Math.max(...x) > 20 * Math.min(...x);
  const numbered = dots.length <= 30;
  const box = h('div', { class: 'chart' });
  picture(box, signal, (Bokeh, t) => {
    const plot = figure(Bokeh, t, { x_axis_type: logarithmic ? 'log' : 'linear' });
    const source = new Bokeh.ColumnDataSource({ data: { x, y, rank: dots.map(({ rank }) => String(rank)) } });
    const points = plot.scatter({ field: 'x' }, { field: 'y' }, {
      source, size: numbered ? 20 : 9, fill_color: t.accent, fill_alpha: 0.85, line_color: t.paper,
    });
    if (numbered) {
      plot.text({ field: 'x' }, { field: 'y' }, { field: 'rank' }, {
        source, text_color: t.paper, text_font: FONT, text_font_size: '11px', text_font_style: 'bold',
        text_align: 'center', text_baseline: 'middle',
      });
    }
    for (const range of [plot.x_range, plot.y_range]) Object.assign(range, { range_padding: 0.15, default_span: 1 });
    plot.xaxis.axis_label = logarithmic ? 'popularity (each step a multiple)' : 'popularity';
    plot.yaxis.axis_label = 'average vote';
    if (logarithmic) plot.xaxis.ticker = new Bokeh.LogTicker({ mantissas: [1, 3], num_minor_ticks: 0 });
    plot.xaxis.formatter = plainNumbers(Bokeh);
    pointing(Bokeh, plot, box, points,
      (at) => tipLine(nameOf(dots[at].item), `popularity ${number(x[at])}, average vote ${number(y[at])}`),
      (at) => open(dots[at].item));
    return plot;
  });
  return card(title, box,
    `Scatter plot of ${count(dots.length, 'result')}: popularity ${span(x)}, average vote ${span(y)}. The list of results has the same numbers.`,
    `The numbers are ranks in the list.${dots.length < items.length ? ` ${count(items.length - dots.length, 'item')} without ratings left out.` : ''}`);
}

const MOST_BARS = 30;

/** Popularity by title, in order of rank; the titles stand above their bars. */
export function popularityBars(items, signal, open) {
  const shown = items.slice(0, MOST_BARS).filter(({ popularity }) => popularity != null);
  if (!shown.length) return '';
  const values = shown.map(({ popularity }) => popularity);
  const most = Math.max(...values, 1e-9);
  const row = shown.map((_, place) => place);
  const box = h('div', { class: 'chart', style: `height: ${34 * shown.length + 8}px` });
  picture(box, signal, (Bokeh, t) => {
    const plot = figure(Bokeh, t, {
      x_range: new Bokeh.Range1d({ start: 0, end: most }),
      y_range: new Bokeh.Range1d({ start: shown.length - 0.4, end: -0.6 }),
    });
    for (const part of [...plot.xaxis, ...plot.yaxis, ...plot.xgrid, ...plot.ygrid]) part.visible = false;
    const source = new Bokeh.ColumnDataSource({ data: {
      row, values,
      title: shown.map((item, place) => shorten(`${place + 1}  ${nameOf(item)}`, box.clientWidth - 60)),
      value: values.map(number),
    } });
    const bars = plot.hbar({ field: 'row' }, 0.3, { field: 'values' }, 0, {
      source, fill_color: t.accent, line_color: null, hatch_color: null,
    });
    const words = { source, text_font: FONT, text_font_size: '12px', text_baseline: 'bottom', y_offset: -6 };
    plot.text(0, { field: 'row' }, { field: 'title' }, { ...words, text_color: t.ink });
    plot.text(most, { field: 'row' }, { field: 'value' }, { ...words, text_color: t.quiet, text_align: 'right' });
    pointing(Bokeh, plot, box, bars,
      (at) => tipLine(nameOf(shown[at]), `popularity ${number(values[at])}`), (at) => open(shown[at]));
    return plot;
  });
  return card('Popularity', box, `Bars of the popularity of ${count(shown.length, 'result')}, ${span(values)}, in the order of the list.`);
}

const ruler = document.createElement('canvas').getContext('2d');

/** Cut a text so that it is no wider than so many pixels. */
function shorten(text, width) {
  ruler.font = `12px ${FONT}`;
  let characters = [...text].slice(0, 120);
  const short = () => (characters.length < [...text].length ? `${characters.join('')}…` : text);
  while (characters.length > 1 && ruler.measureText(short()).width > width) characters = characters.slice(0, -1);
  return short();
}

/** The stages of a fit: name, colour and marker. The sketch has an inertia of its own kind and is left out. */
const STAGES = {
  lloyd: ['all items at once', 0, 'circle'],
  breathe: ['weak clusters replaced', 3, 'diamond'],
  hartigan: ['single items moved', 2, 'triangle'],
};

/**
 * How the inertia fell.
 *
 * @returns {{figure: HTMLElement, update: (history: Array) => void}} `update` draws a longer history
 */
export function inertiaCurve(signal) {
  const box = h('div', { class: 'chart' });
  const whole = card('Inertia after each iteration', box, 'No iteration yet.', 'Inertia is how far the items are from the middles of their clusters: lower is better.');
  let sources = {};
  let steps = [];
  const columns = (stage) => {
    const taken = stage ? steps.filter(([of]) => of === stage) : steps;
    return { x: taken.map((step) => step[1]), y: taken.map((step) => step[2]) };
  };
  const redraw = picture(box, signal, (Bokeh, t) => {
    const plot = figure(Bokeh, t, {});
    sources = {};
    const source = (stage) => (sources[stage] = new Bokeh.ColumnDataSource({ data: columns(stage) }));
    plot.line({ field: 'x' }, { field: 'y' }, { source: source(''), line_color: t.quiet, line_width: 1.5 });
    for (const [stage, [name, colour, marker]] of Object.entries(STAGES)) {
      if (!steps.some(([of]) => of === stage)) continue;
      const points = plot.scatter({ field: 'x' }, { field: 'y' }, {
        source: source(stage), marker, size: 7, color: t.palette[colour], legend_label: name,
      });
      pointing(Bokeh, plot, box, points, (at) => {
        const { x, y } = sources[stage].data;
        return tipLine(`Iteration ${x[at]}`, `${inertia(y[at])}, ${name}`);
      });
    }
    plot.xaxis.axis_label = 'iteration';
    plot.yaxis.axis_label = 'inertia';
    plot.yaxis.formatter = plainNumbers(Bokeh);
    Object.assign(plot.legend, {
      background_fill_alpha: 0, border_line_color: null, label_text_color: t.ink, label_text_font: FONT, label_text_font_size: '12px',
    });
    return plot;
  });
  const update = (history) => {
    steps = history.filter(([stage]) => stage in STAGES);
    if (!steps.length) return;
    const [, last, value] = steps.at(-1);
    box.setAttribute('aria-label', `Line of the inertia over ${count(last, 'iteration')}, from ${inertia(steps[0][2])} to ${inertia(value)}.`);
    const stages = new Set(steps.map(([stage]) => stage));
    if ([...stages].some((stage) => !(stage in sources))) redraw();
    else for (const [stage, source] of Object.entries(sources)) source.data = columns(stage);
  };
  return { figure: whole, update };
}
