/** The three pictures beside numbers: rating, popularity, and how a fit went. */
import { figure, FONT, picture, pointing, tipLine } from './bokeh.js';
import { nameOf } from './cards.js';
import { count, h, inertia, number } from './dom.js';

/** A picture with its heading; `alternative` says it in words. */
function card(title, box, alternative, hint) {
  box.setAttribute('role', 'img');
  box.setAttribute('aria-label', alternative);
  return h('figure', {}, h('figcaption', {}, h('h2', {}, title), hint && h('p', { class: 'hint' }, hint)), box);
}

const span = (values) => `from ${number(Math.min(...values))} to ${number(Math.max(...values))}`;
const plainNumbers = (Bokeh) => new Bokeh.NumeralTickFormatter({ format: '0,0[.]0' });

/** Popularity against vote average, each point with the rank of its item. */
export function ratingScatter(items, signal, open) {
  const dots = items.map((item, place) => ({ item, rank: place + 1 }))
    .filter(({ item }) => item.popularity != null && item.vote_average != null);
  const title = 'Popularity and rating';
  if (!dots.length) return '';
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
    plot.xaxis.axis_label = logarithmic ? 'popularity, about 3 times more each step' : 'popularity';
    plot.yaxis.axis_label = 'average vote';
    if (logarithmic) plot.xaxis.ticker = plot.xgrid.ticker = new Bokeh.FixedTicker({ ticks: decades(x) });
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

/** Round numbers for a logarithmic axis: 1, 3, 10, 30 and so on, as far as the values reach. */
function decades(values) {
  const first = Math.floor(Math.log10(Math.min(...values)));
  const last = Math.ceil(Math.log10(Math.max(...values)));
  return Array.from({ length: last - first + 1 }, (_, at) => [1, 3].map((digit) => digit * 10 ** (first + at))).flat();
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
    plot.hbar({ field: 'row' }, 0.3, { field: 'values' }, 0, { source, fill_color: t.accent, line_color: null });
    const words = { source, text_font: FONT, text_font_size: '12px', text_baseline: 'middle', y_offset: -14 };
    plot.text(0, { field: 'row' }, { field: 'title' }, { ...words, text_color: t.ink });
    plot.text(most, { field: 'row' }, { field: 'value' }, { ...words, text_color: t.quiet, text_align: 'right' });
    const rows = plot.hbar({ field: 'row' }, 1, most, 0, { source, fill_alpha: 0, line_color: null });
    pointing(Bokeh, plot, box, rows,
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
  minibatch: ['more and more items', 0, 'inverted_triangle'],
  spherical: ['all items, by angles', 1, 'square'],
};

/**
 * How the inertia fell.
 *
 * @returns {{figure: HTMLElement, update: (history: Array) => void}} `update` draws a longer history
 */
export function inertiaCurve(signal) {
  const box = h('div', { class: 'chart' });
  const whole = card('Inertia after each iteration', box, 'No iteration yet.', 'Inertia is how far the items are from the middles of their clusters: lower is better.');
  let sources = {}; // by stage, and of all of them under ''
  let steps = [];
  let redraw = null;
  const columns = (stage) => {
    const taken = stage ? steps.filter(([of]) => of === stage) : steps;
    return { x: taken.map((step) => step[1]), y: taken.map((step) => step[2]) };
  };
  const make = (Bokeh, t) => {
    const plot = figure(Bokeh, t, {});
    sources = {};
    const source = (stage) => (sources[stage] = new Bokeh.ColumnDataSource({ data: columns(stage) }));
    plot.line({ field: 'x' }, { field: 'y' }, { source: source(''), line_color: t.quiet, line_width: 1.5 });
    for (const [stage, [name, colour, marker]] of Object.entries(STAGES)) {
      if (!steps.some(([of]) => of === stage)) continue;
      plot.scatter({ field: 'x' }, { field: 'y' }, {
        source: source(stage), marker, size: 7, color: t.palette[colour], legend_label: name,
      });
    }
    const all = plot.scatter({ field: 'x' }, { field: 'y' }, { source: sources[''], size: 14, fill_alpha: 0, line_alpha: 0 });
    pointing(Bokeh, plot, box, all, (at) => {
      const [stage, iteration, value] = steps[at];
      return tipLine(`Iteration ${iteration}`, `${inertia(value)}, ${STAGES[stage][0]}`);
    });
    plot.xaxis.axis_label = 'iteration';
    plot.yaxis.axis_label = 'inertia';
    plot.yaxis.formatter = plainNumbers(Bokeh);
    Object.assign(plot.legend, {
      background_fill_alpha: 0, border_line_color: null, label_text_color: t.ink, label_text_font: FONT, label_text_font_size: '12px',
    });
    return plot;
  };
  const update = (history) => {
    steps = history.filter(([stage]) => stage in STAGES);
    if (!steps.length) return;
    const [, last, value] = steps.at(-1);
    box.setAttribute('aria-label', `Line of the inertia over ${count(last, 'iteration')}, from ${inertia(steps[0][2])} to ${inertia(value)}.`);
    if (!redraw) redraw = picture(box, signal, make); // an empty plot has no ranges
    else if (steps.some(([stage]) => !(stage in sources))) redraw();
    else for (const [stage, source] of Object.entries(sources)) source.data = columns(stage);
  };
  return { figure: whole, update };
}
