/** Versions: the models made so far, side by side, and which of them answers. */
import { link } from './address.js';
import { download, get, path, post, remove } from './api.js';
import { button, date, failure, fill, h, inertia, number, size } from './dom.js';

const region = h('div', { class: 'region' });

/** @type {import('./main.js').View} */
export const versions = {
  id: 'versions',
  label: 'Versions',
  keys: [],

  mount(panel) {
    panel.append(region);
  },

  show(context) {
    const { model, signal } = context;
    fill(region, signal, async () => content(await get(path(['models', model.name]), signal), context));
  },
};

function content(model, { signal, refresh }) {
  const here = (...parts) => path(['models', model.name, ...parts]);
  const outcome = h('div', { 'aria-live': 'polite' });
  const act = (work) => async (event) => {
    event.target.disabled = true;
    try {
      await work();
      if (!signal.aborted) await refresh();
    } catch (error) {
      event.target.disabled = false;
      outcome.replaceChildren(failure(error));
    }
  };
  const row = (version) => versionRow(model, version, {
    activate: act(() => post(here('versions', version.version, 'activate'))),
    drop: act(async () => {
      if (confirm(`Delete version ${version.version} of ${model.name} for good?`)) await remove(here('versions', version.version));
    }),
  });
  const columns = ['Version', 'Made', 'Clusters', 'Inertia', 'Items', 'Words', 'Iterations', 'Seed', 'Size'];
  return [
    h('h1', {}, `Versions of ${model.name}`),
    h('p', { class: 'quiet' }, 'Each fit makes a version; the active one answers. Inertia is lower where items are nearer to their clusters: compare it between versions of the same data with as many clusters.'),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of versions' },
      h('table', {},
        h('thead', {}, h('tr', {}, columns.map((name, at) => h('th', { scope: 'col', class: at > 1 ? 'n' : '' }, name)), h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'Actions')))),
        h('tbody', {}, model.versions.map(row)))),
    outcome,
    h('p', { class: 'actions' },
      button(model.previous ? `Go back to version ${model.previous}` : 'Go back', act(() => post(here('rollback'))), { disabled: !model.previous }),
      button('Download clusters (CSV)', act(() => download(here('export'), `${model.name}.csv`)), { class: 'plain' }),
      button('Download the model', act(() => download(here('archive'), `${model.name}.tar`)), { class: 'plain' })),
  ];
}

function versionRow(model, { version, active, state, created, metrics, parameters, bytes, source }, { activate, drop }) {
  const usable = state === 'ready';
  return h('tr', { class: active ? 'active' : '' },
    h('th', { scope: 'row' }, usable ? link({ v: active ? null : version, tab: 'report' }, {}, version) : version,
      active && h('span', { class: 'badge' }, 'active'), !usable && h('span', { class: 'badge bad' }, 'damaged')),
    h('td', {}, date(created), source === 'upload' && ' (brought along)'),
    ...[number(metrics.n_clusters), inertia(metrics.inertia), number(metrics.n_items), number(metrics.n_terms), number(metrics.n_iter), parameters.seed ?? '', size(bytes)]
      .map((value) => h('td', { class: 'n' }, value)),
    h('td', { class: 'actions' },
      !active && usable && button('Activate', activate, { 'aria-label': `Activate version ${version}` }),
      !active && button('Delete', drop, { class: 'plain', 'aria-label': `Delete version ${version}` })));
}
