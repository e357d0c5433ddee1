/** The frame of the page: which model, which view, and what the address says about both. */
import { address, go, link, read, refreshLinks } from './address.js';
import { get, path } from './api.js';
import { build } from './build.js';
import { failure, h, note } from './dom.js';
import { item } from './item.js';
import { map } from './map.js';
import { report } from './report.js';
import { search } from './search.js';
import { versions } from './versions.js';

/**
 * @typedef {object} Context what a view is shown with
 * @property {import('./address.js').State} state
 * @property {?{name: string, version: number, active: number}} model null where there is none
 * @property {(parts: any[], parameters?: object) => string} at path of a part of the model
 * @property {object} limits of the service
 * @property {AbortSignal} signal aborted when the view is shown anew
 * @property {() => Promise<void>} refresh to be called when models have changed
 *
 * @typedef {object} View
 * @property {string} id
 * @property {string} label
 * @property {string[]} keys of the state: the view is shown anew when one of them changes
 * @property {boolean} [modelless] whether it is of use without a model
 * @property {(panel: Element) => void} mount called once, before the first `show`
 * @property {(context: Context) => void} show
 * @property {(state: object) => void} [follow] told of every state while it is the one shown
 */

/** @type {View[]} */
const VIEWS = [search, map, report, versions, build];
const element = (id) => document.getElementById(id);

const tabs = new Map();
const panels = new Map();
const shown = new Map(); // by view: what it was last shown for, and how to stop it
const scrolls = new Map(); // by view: how far down it was left
let current; // view
let looking; // for a first model
let info;
let models = [];

function addView(view) {
  const tab = link({ tab: view.id, item: null }, {
    role: 'tab', id: `tab-${view.id}`, 'aria-controls': `panel-${view.id}`,
  }, view.label);
  const panel = h('section', {
    role: 'tabpanel', id: `panel-${view.id}`, 'aria-labelledby': tab.id, hidden: true,
  });
  tabs.set(view, tab);
  panels.set(view, panel);
  element('tabs').append(tab);
  element('main').append(panel);
}

/** Arrow keys move between tabs, Enter or Space opens one, as the ARIA practices have it. */
function moveBetweenTabs(event) {
  const all = [...tabs.values()];
  const at = all.indexOf(event.target);
  const to = {
    ArrowRight: at + 1, ArrowLeft: at - 1 + all.length, Home: 0, End: all.length - 1,
  }[event.key];
  if (event.key === ' ') event.target.click();
  else if (to === undefined) return;
  else all[to % all.length].focus();
  event.preventDefault();
}

/** Ask anew which models there are, and show what changes with them. */
async function refresh() {
  element('notice').setAttribute('aria-busy', 'true');
  try {
    [info, { models }] = await Promise.all([get('/v1/info'), get('/v1/models')]);
    element('notice').replaceChildren();
  } catch (error) {
    element('notice').replaceChildren(failure(error, refresh));
    return;
  } finally {
    element('notice').removeAttribute('aria-busy');
  }
  for (const [view, last] of shown) if (!view.modelless) last.key = null;
  element('foot').replaceChildren(
    `gpu-kmeans ${info.version}, running on the ${info.backend.toUpperCase()} (${info.backend_reason}). `,
    'Everything on this page comes from this server.');
  route();
  // The first model may be on its way, as when the service starts with its sample.
  clearTimeout(looking);
  if (!models.length) looking = setTimeout(refresh, 3_000);
}

/** Show what the address says. */
function route() {
  if (!info) return;
  const state = read();
  const view = VIEWS.find(({ id }) => id === state.tab) ?? (models.length ? search : build);
  const known = models.find(({ name }) => name === state.model);
  const latest = models.toSorted((a, b) => b.updated.localeCompare(a.updated))[0];
  const model = state.model && !known ? null : choose(known ?? latest, state.v);
  pickModel(model);
  element('notice').replaceChildren(...notices(view, state, model));
  turnTo(view);
  document.title = [view === search ? state.q : view.label, model?.name, 'gpu-kmeans'].filter(Boolean).join(' – ');
  panels.get(view).hidden = !model && !view.modelless;
  if (!panels.get(view).hidden) present(view, state, model);
  if (model) present(item, state, model);
  refreshLinks();
}

/** Select a tab, and go back to where its view was left. */
function turnTo(view) {
  const turned = view !== current;
  if (turned) scrolls.set(current, scrollY);
  for (const [each, tab] of tabs) {
    tab.setAttribute('aria-selected', each === view);
    tab.tabIndex = each === view ? 0 : -1;
    panels.get(each).hidden = each !== view;
  }
  current = view;
  if (turned) scrollTo(0, scrolls.get(view) ?? 0);
}

const choose = (model, version) => model && {
  name: model.name, active: model.active, version: Number(version) || model.active,
};

/** Show a view anew if what it depends on has changed. */
function present(view, state, model) {
  const of = view.modelless ? [Boolean(model)] : [model.name, model.version];
  const key = JSON.stringify([...of, ...view.keys.map((name) => state[name])]);
  const last = shown.get(view);
  if (last?.key !== key) {
    last?.stop.abort();
    const stop = new AbortController();
    if (!last) view.mount(panels.get(view) ?? document.body);
    shown.set(view, { key, stop });
    view.show({
      state,
      model,
      at: (parts, parameters) => path(['models', model.name, ...parts], { version: model.version, ...parameters }),
      limits: info.limits,
      signal: stop.signal,
      refresh,
    });
  }
  view.follow?.(state);
}

function pickModel(model) {
  element('picker').hidden = models.length < 2;
  element('models').replaceChildren(
    ...models.map(({ name }) => h('option', { value: name, selected: name === model?.name }, name)));
}

function notices(view, state, model) {
  if (state.model && !model) {
    return [h('p', { class: 'note' }, `There is no model called “${state.model}” here. `,
      models.length > 0 && link({ model: null, v: null }, {}, 'See what there is'))];
  }
  if (!model && !view.modelless) {
    return [note('Nothing to see yet', h('p', {}, link({ tab: 'build' }, {}, 'Bring a file of texts'), ' to begin.'))];
  }
  if (!model || model.version === model.active) return [];
  return [h('p', { class: 'note' }, `You are looking at version ${model.version}. Version ${model.active} is the active one. `,
    link({ v: null }, {}, 'Go to the active version'))];
}

VIEWS.forEach(addView);
element('tabs').addEventListener('keydown', moveBetweenTabs);
element('skip').addEventListener('click', () => element('main').focus());
element('models').addEventListener('change', (event) => {
  go({ model: event.target.value, v: null, cluster: null, item: null, n: null, wide: null });
});
history.scrollRestoration = 'manual'; // see turnTo
addEventListener('hashchange', route);
refresh();
