/**
 * The frame of the page: which model and version, which view, and what the address says of them.
 *
 * The version that is shown stays until the reader chooses another, or does something here that
 * changes it: what other tabs do meanwhile is told, and moves nothing.
 */
import { address, ELSEWHERE, go, link, read, refreshLinks, replace } from './address.js';
import { forget, get, OUTDATED, path } from './api.js';
import { build } from './build.js';
import { clusters } from './clusters.js';
import { compare } from './compare.js';
import { button, failure, h, note } from './dom.js';
import { item } from './item.js';
import { map } from './map.js';
import { report } from './report.js';
import { search } from './search.js';
import { versions } from './versions.js';

/**
 * @typedef {object} Context what a view is shown with
 * @property {import('./address.js').State} state
 * @property {?Shown} model null where there is none
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
 * @property {boolean} [versionless] whether it is of use where the version is not there
 * @property {(panel: Element) => void} mount called once, before the first `show`
 * @property {(context: Context) => void} show
 * @property {(state: object) => void} [follow] told of every state while it is the one shown
 * @property {() => void} [renew] look again at what another tab may have changed
 *
 * @typedef {object} Shown which version of which model is on the screen
 * @property {string} name
 * @property {?number} version null where none is active and none was asked for
 * @property {?number} active
 * @property {boolean} known whether that version is there
 * @property {boolean} there whether it can be read, too
 * @property {?string} dataset that it was made of
 */

/** @type {View[]} */
const VIEWS = [search, map, clusters, compare, report, versions, build];
const element = (id) => document.getElementById(id);

const tabs = new Map();
const panels = new Map();
const shown = new Map(); // by view: what it was last shown for, and how to stop it
const scrolls = new Map(); // by view: how far down it was left
const details = new Map(); // by name of a model: a promise of its versions
let current; // view
let looking; // for a first model
let turns = 0; // how often the address was looked at
let held = null; // the version that stands for "the active one", by what is on the screen
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
    [info, { models }] = await Promise.all([get(path(['info'])), get(path(['models']))]);
    details.clear();
    forget();
    held = null;
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
  await route();
  // The first model may be on its way, as when the service starts with its sample.
  clearTimeout(looking);
  if (!models.length) looking = setTimeout(refresh, 3_000);
}

/** See what other tabs have changed meanwhile; what is shown stays. */
async function look() {
  if (!info || document.hidden) return;
  try {
    ({ models } = await get(path(['models'])));
  } catch {
    return; // whoever asks for something is told why it fails
  }
  details.clear();
  await route();
  if (current && !panels.get(current).hidden) current.renew?.();
}

/** Show what the address says. */
async function route() {
  if (!info) return;
  const turn = (turns += 1);
  const latest = models.toSorted((a, b) => b.updated.localeCompare(a.updated))[0];
  if (!read().model && latest) replace({ model: latest.name });
  const state = read();
  const known = models.some(({ name }) => name === state.model);
  let found = null;
  try {
    if (known) found = await detailsOf(state.model);
  } catch (error) {
    if (turn === turns) element('notice').replaceChildren(failure(error, refresh));
    return;
  }
  if (turn !== turns) return; // the address has changed since
  const model = choose(found, state.v);
  const view = VIEWS.find(({ id }) => id === state.tab) ?? (models.length ? search : build);
  sayWhich(model);
  element('notice').replaceChildren(...notices(view, state, model));
  turnTo(view);
  document.title = [view === search ? state.q : view.label, model?.name, 'gpu-kmeans'].filter(Boolean).join(' – ');
  const use = model?.there || (model && view.versionless) || view.modelless;
  panels.get(view).hidden = !use;
  if (use) present(view, state, model);
  if (model?.there) present(item, state, model);
  refreshLinks();
}

function detailsOf(name) {
  if (!details.has(name)) {
    details.set(name, get(path(['models', name])).catch((error) => {
      details.delete(name);
      if (error.status === 404) return null;
      throw error;
    }));
  }
  return details.get(name);
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

/** @returns {?Shown} */
function choose(model, asked) {
  if (!model) return null;
  const { name, active, versions: all } = model;
  if (!asked && held?.name !== name) held = active && { name, version: active };
  const version = Number(asked) || (held?.name === name ? held.version : active);
  const row = all.find((each) => each.version === version);
  return {
    name, active, version, there: row?.state === 'ready', known: Boolean(row), dataset: row?.dataset ?? null, wordless: row?.metrics.n_terms === 0,
  };
}

/** Show a view anew if what it depends on has changed. */
function present(view, state, model) {
  const of = view.modelless ? [Boolean(model)] : [model.name, model.version, model.there];
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
      algorithms: info.algorithms,
      signal: stop.signal,
      refresh,
    });
  }
  view.follow?.(state);
}

/** Say in the head of the page what is on the screen. */
function sayWhich(model) {
  const choice = h('select', { id: 'models', 'aria-label': 'Model', onchange: ({ target }) => go({ model: target.value, v: null, ...ELSEWHERE }) },
    !model && h('option', { value: '', selected: true }, 'Choose a model'),
    models.map(({ name }) => h('option', { value: name, selected: name === model?.name }, name)));
  const several = models.length > 1 || (models.length > 0 && !model);
  element('which').replaceChildren(...[
    several ? choice : model && h('strong', {}, model.name),
    model?.known && link({ tab: 'versions', item: null }, {}, `version ${model.version}`),
  ].filter(Boolean));
  element('home').href = model ? `#${new URLSearchParams({ model: model.name })}` : '#';
}

const toActive = ({ name, active }) => button(`Show version ${active}`, () => {
  held = { name, version: active };
  replace({ v: null, ...ELSEWHERE });
  route();
});
const told = (text, ...ways) => [h('div', { class: 'note ways' }, h('p', {}, text), ...ways.filter(Boolean))];

function notices(view, state, model) {
  if (state.model && !model) {
    return told(`There is no model called “${state.model}” here, or not any more.`,
      models.length > 0 && link({ model: null, v: null, ...ELSEWHERE }, {}, 'See what there is'));
  }
  if (!model) {
    return view.modelless ? [] : [note('Nothing to see yet', h('p', {}, link({ tab: 'build' }, {}, 'Bring a file'), ' to begin.'))];
  }
  if (view.modelless) return [];
  const { name, version, active, known, there } = model;
  const list = view.versionless ? '' : link({ tab: 'versions', v: null, ...ELSEWHERE }, {}, `See the versions of ${name}`);
  if (version == null) return told(`No version of ${name} is active.`, list || 'Activate one below.');
  const ways = [active && active !== version ? toActive(model) : list];
  if (!known) return told(`Version ${version} of ${name} is not there, or not any more.`, ...ways);
  if (!there) return told(`Version ${version} of ${name} is damaged and cannot be shown.`, ...ways);
  if (version === active) return [];
  return told(`You are looking at version ${version} of ${name}. ${active ? `Version ${active} is the active one.` : 'No version is active.'}`, ...ways);
}

VIEWS.forEach(addView);
element('tabs').addEventListener('keydown', moveBetweenTabs);
element('skip').addEventListener('click', () => element('main').focus());
history.scrollRestoration = 'manual'; // see turnTo
addEventListener('hashchange', route);
addEventListener('focus', look);
addEventListener(OUTDATED, look);
document.addEventListener('visibilitychange', look);
refresh();
