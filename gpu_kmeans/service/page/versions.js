/**
 * Versions: the models made so far, side by side, and which of them answers.
 *
 * What a button says is what is done, or nothing is: before it acts, the model is looked at
 * again, as another tab may have changed it since the table was drawn.
 */
import { ELSEWHERE, link, read, replace } from './address.js';
import { download, get, path, post, remove } from './api.js';
import { modelForm } from './model_upload.js';
import { announce, ask, button, date, count, failure, fill, h, inertia, number, size } from './dom.js';

const region = h('div', { class: 'region' });
const said = h('div', { 'aria-live': 'polite' });
let context;

/** @type {import('./main.js').View} */
export const versions = {
  id: 'versions',
  label: 'Versions',
  keys: [],
  versionless: true,

  mount(panel) {
    panel.append(said, region);
  },

  show(shown) {
    if (shown.model.name !== context?.model.name) said.replaceChildren();
    context = shown;
    fill(region, shown.signal, async () => content(await get(path(['models', shown.model.name]), shown.signal), shown));
  },

  renew() {
    versions.show(context);
  },
};

/** Where a version came from, if it is of no fit. */
const ORIGINS = {
  upload: () => 'brought along',
  edit: ({ based_on: before }) => `by hand from ${before}`,
  update: ({ based_on: before }) => `${before} with new rows`,
};

const good = (text) => h('p', { class: 'note good' }, text);
const amiss = (text) => h('p', { class: 'note bad', role: 'alert' }, text);

/** Why something that was to be done with a version must not be done now; null where it may. */
function meanwhile(before, now, version) {
  if (now.active !== before.active) {
    return now.active == null
      ? `Meanwhile ${before.name} has lost its active version.`
      : `Meanwhile version ${now.active} of ${before.name} was made the active one.`;
  }
  if (!now.versions.some((each) => each.version === version)) return `Meanwhile version ${version} of ${before.name} was deleted.`;
  return null;
}

function content(model, { model: { version: shown }, refresh }) {
  const { name } = model;
  const here = (...parts) => path(['models', name, ...parts]);

  /** Do something with a version, say what came of it, and show all anew. */
  const act = (version, work) => async ({ target }) => {
    target.disabled = true;
    try {
      const obstacle = meanwhile(model, await get(here()), version);
      const done = obstacle ? null : await work();
      if (obstacle) said.replaceChildren(amiss(`${obstacle} Nothing was done: look at the table again.`));
      else if (done) said.replaceChildren(good(done));
      else return;
      announce(said.textContent);
    } catch (error) {
      said.replaceChildren(failure(error));
    } finally {
      target.disabled = false;
    }
    await refresh();
  };
  const activate = (version) => act(version, async () => {
    await post(here('versions', version, 'activate'));
    replace({ v: null, ...ELSEWHERE });
    return `Version ${version} of ${name} is the active one now.`;
  });
  const drop = (version) => act(version, async () => {
    const sure = await ask(`Delete version ${version} of ${name}?`,
      'It is gone for good; the other versions and the data stay.', `Delete version ${version} of ${name}`);
    if (!sure) return null;
    await remove(here('versions', version));
    if (Number(read().v) === version) replace({ v: null, ...ELSEWHERE });
    return `Version ${version} of ${name} is deleted.`;
  });
  const bring = (version, part, file) => async ({ target }) => {
    target.disabled = true;
    try {
      await download(path(['models', name, part], { version }), file);
    } catch (error) {
      said.replaceChildren(failure(error));
    } finally {
      target.disabled = false;
    }
  };
  const dropAll = async ({ target }) => {
    const sure = await ask(`Delete the model ${name}?`, `All its versions (${count(model.versions.length, 'version')}) are gone for good; the data stay.`, `Delete ${name} and all its versions`);
    if (!sure) return;
    target.disabled = true;
    try {
      await remove(here());
      replace({ model: null, v: null, tab: null, ...ELSEWHERE });
      announce(`The model ${name} is deleted.`);
    } catch (error) {
      said.replaceChildren(failure(error));
      target.disabled = false;
    }
    await refresh();
  };
  const columns = ['Version', 'Made', 'Data', 'Clusters', 'Inertia', 'Items', 'Words', 'Seed', 'Size'];
  const usable = model.versions.some(({ version, state }) => version === shown && state === 'ready');
  return [
    h('h1', {}, `Versions of ${name}`),
    h('p', { class: 'quiet' }, 'Each fit makes a version; the active one answers. Inertia is lower where items are nearer to their clusters: compare it between versions of the same data with as many clusters.'),
    h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of versions' },
      h('table', {},
        h('thead', {}, h('tr', {}, columns.map((column, at) => h('th', { scope: 'col', class: at > 2 ? 'n' : '' }, column)), h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'Actions')))),
        h('tbody', {}, model.versions.map((row) => versionRow(name, row, shown, { activate, drop }))))),
    h('p', { class: 'actions' },
      model.previous && button(`Go back to version ${model.previous}`, activate(model.previous)),
      usable && button(`Download clusters of version ${shown} (CSV)`, bring(shown, 'export', `${name}-${shown}.csv`), { class: 'plain' }),
      usable && button(`Download version ${shown} as a file`, bring(shown, 'archive', `${name}-${shown}.tar`), { class: 'plain' })),
    h('details', {}, h('summary', {}, 'Bring a version made elsewhere'), modelForm(name, async (made) => {
      said.replaceChildren(good(`Version ${made.version} of ${name} was brought along.${made.active ? ' It is the active one now.' : ' Activate it to let it answer.'}`));
      announce(said.textContent);
      await refresh();
    })),
    h('p', { class: 'actions' }, button(`Delete the model ${name}`, dropAll, { class: 'plain' })),
  ];
}

function versionRow(name, row, shown, { activate, drop }) {
  const { version, active, state, created, dataset, metrics, parameters, bytes, source } = row;
  const usable = state === 'ready';
  return h('tr', { class: active ? 'active' : '' },
    h('th', { scope: 'row' }, usable ? link({ v: version, tab: 'report', ...ELSEWHERE }, {}, version) : version,
      active && h('span', { class: 'badge' }, 'active'), !usable && h('span', { class: 'badge bad' }, 'damaged'),
      usable && !active && version === shown && h('span', { class: 'badge shown' }, 'shown')),
    h('td', {}, date(created)),
    h('td', {}, ORIGINS[source]?.(row) ?? dataset ?? ''),
    ...[number(metrics.n_clusters), inertia(metrics.inertia), number(metrics.n_items), number(metrics.n_terms), parameters.seed ?? '', size(bytes)]
      .map((value) => h('td', { class: 'n' }, value)),
    h('td', { class: 'actions' },
      usable && shown && version !== shown && link({ tab: 'compare', with: version, other: null, flow: null }, { class: 'button plain', 'aria-label': `Compare version ${version} with version ${shown}` }, 'Compare'),
      !active && usable && button(`Activate ${version}`, activate(version), { 'aria-label': `Activate version ${version} of ${name}` }),
      !active && button(`Delete ${version}`, drop(version), { class: 'plain', 'aria-label': `Delete version ${version} of ${name}` })));
}
