/**
 * Pictures, drawn by BokehJS in the colours of the style sheet. It is loaded when the first
 * picture comes into view. What shows under the pointer is a node of our own, so that titles
 * are text and nothing else.
 */
import { h } from './dom.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
export const FONT = 'system-ui, sans-serif';
export const COLOURS = 7; // --c0 to --c6

const script = (src) => new Promise((resolve, reject) => {
  document.head.append(h('script', { src, onload: resolve, onerror: reject }));
});

let library = null;

function loadBokeh() {
  library ??= script('assets/vendor/bokeh.min.js')
    .then(() => script('assets/vendor/bokeh-api.min.js'))
    .then(() => {
      globalThis.Bokeh.set_log_level('warn');
      return globalThis.Bokeh;
    });
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
  renderer.hover_glyph = null; // or all points would be painted again with every move
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
