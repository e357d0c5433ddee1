/** Two versions side by side: which cluster became which, and what moved. */
import { go, link } from './address.js';
import { get, path } from './api.js';
import { nameOf } from './cards.js';
import { flowPicture } from './flows.js';
import { button, count, fill, h, note, number, percent } from './dom.js';

const MOVED = 30;
const FLOWS = 20;
const TERMS = 8;

const region = h('div', { class: 'region' });

/** @type {import('./main.js').View} */
export const compare = {
  id: 'compare',
  label: 'Compare',
  keys: ['with', 'other', 'flow'],

  mount(panel) {
    panel.append(h('h1', {}, 'Compare'), region);
  },

  show(context) {
    const { state, model, signal } = context;
    fill(region, signal, async () => {
      const other = state.other || model.name;
      const [{ models }, { versions, active }] = await Promise.all([get(path(['models']), signal), get(path(['models', other]), signal)]);
      const usable = versions.filter((row) => row.state === 'ready' && !(other === model.name && row.version === model.version));
      const before = usable.find(({ version }) => String(version) === state.with) ?? (state.with ? null : usualOf(usable, other, model, active, versions));
      const head = choices(context, models, other, usable, before);
      if (!usable.length) {
        return [head, note('Nothing to compare with', h('p', {}, `${other} has no other version. `, link({ tab: 'build' }, {}, 'Make one'), ', or choose another model.'))];
      }
      if (!before) return [head, h('p', { class: 'note' }, `Version ${state.with} of ${other} is not there, or not any more. Choose another above.`)];
      return [head, ...await content(context, other, before.version)];
    });
  },
};

/** What a version is compared with unless one is chosen: what it was made from, or the one before. */
function usualOf(usable, other, model, active, versions) {
  if (other !== model.name) return usable.find(({ version }) => version === active) ?? usable[0];
  const basis = versions.find(({ version }) => version === model.version)?.based_on;
  return usable.find(({ version }) => version === basis)
    ?? usable.find(({ version }) => version < model.version) ?? usable[0];
}

function choices({ model }, models, other, usable, before) {
  const none = { other: null, with: null, flow: null };
  return h('div', { class: 'choices' },
    models.length > 1 && h('label', { class: 'inline' }, 'Model before ',
      h('select', { onchange: ({ target }) => go({ ...none, other: target.value === model.name ? null : target.value }) },
        models.map(({ name }) => h('option', { value: name, selected: name === other }, name)))),
    usable.length > 0 && h('label', { class: 'inline' }, 'Version before ',
      h('select', { onchange: ({ target }) => go({ with: target.value, flow: null }) },
        !before && h('option', { value: '', selected: true }, 'Choose a version'),
        usable.map(({ version, metrics }) => h('option', { value: version, selected: version === before?.version }, `${version}, ${count(metrics.n_clusters, 'cluster')}`)))),
    h('span', {}, 'after ', h('strong', {}, `version ${model.version} of ${model.name}`), ', which is on the screen'));
}

async function content(context, other, version) {
  const { state, at, signal, model } = context;
  const asked = { with: version, with_model: other === model.name ? null : other };
  const flow = /^(-?\d+)-(-?\d+)$/.exec(state.flow ?? '');
  const found = await get(at(['compare'], { ...asked, limit: MOVED }), signal);
  const { before, after } = found.clusters;
  const share = found.n_moved / Math.max(1, found.flows.reduce((sum, { items }) => sum + items, 0));
  const figure = (name, value, help) => h('div', { class: 'figure' }, h('dt', {}, name), h('dd', {}, value), h('dd', { class: 'hint' }, help));
  const items = h('div', { class: 'region' });
  fill(items, signal, () => moved(context, asked, flow, found, before, after));
  return [
    h('p', { class: 'lead' }, `${found.verdict[0].toUpperCase()}${found.verdict.slice(1)}.`),
    h('dl', { class: 'figures' },
      figure('Agreement', number(found.agreement), 'Adjusted Rand index: 1, the same clusters; 0, no more alike than by chance.'),
      figure('Moved', percent(share), `${count(found.n_moved, 'item')} are not in what their cluster became.`),
      figure('In both', number(found.n_common), `${number(found.n_gone)} only before, ${number(found.n_new)} only after.`)),
    flowPicture(found, signal, (one) => go({ flow: `${one.before}-${one.after}` })),
    h('details', {}, h('summary', {}, 'The same as a table'), flowTable(found)),
    items, ...terms(found, after),
  ];
}

function flowTable({ flows, n_flows: all }) {
  const body = h('tbody', {});
  const put = (some) => body.append(...some.map((flow) => h('tr', {},
    h('td', { dir: 'auto' }, flow.before_name), h('td', {}, flow.matched ? 'became' : 'gave to'), h('td', { dir: 'auto' }, flow.after_name),
    h('td', { class: 'n' }, link({ flow: `${flow.before}-${flow.after}` }, {}, count(flow.items, 'item'))))));
  put(flows.slice(0, FLOWS));
  const more = flows.length > FLOWS && button(`Show ${flows.length < all ? `${number(flows.length)} of ${number(all)}` : `all ${number(all)}`}`, () => {
    put(flows.slice(FLOWS));
    more.remove();
  });
  return h('div', {}, h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Which cluster became which' }, h('table', {},
    h('thead', {}, h('tr', {}, ['Before', '', 'After', 'Items'].map((column, at) => h('th', { scope: 'col', class: at === 3 ? 'n' : '' }, column || h('span', { class: 'unseen' }, 'Became'))))),
    body)), more || '');
}

/** The items that moved, or those of one band. */
async function moved({ at, signal }, asked, flow, found, before, after) {
  const names = [before, after].map((side) => new Map(side.map(({ label, name }) => [label, name])));
  const parameters = { ...asked, limit: MOVED, ...(flow && { before: flow[1], after: flow[2] }) };
  const list = h('ul', { class: 'rows' });
  const status = h('div', {});
  const nameIn = (side, label) => (label < 0 ? 'no cluster' : names[side].get(label) ?? `cluster ${label}`);
  const page = async (cursor) => {
    const answer = cursor || flow ? await get(at(['compare'], { ...parameters, cursor }), signal) : found;
    list.append(...answer.moved.map((item) => h('li', {},
      link({ item: item.id }, { dir: 'auto' }, nameOf(item)),
      h('span', { class: 'quiet', dir: 'auto' }, `${nameIn(0, item.before)} → ${nameIn(1, item.after)}`))));
    status.replaceChildren(answer.next_cursor ? button('Show more', () => fill(status, signal, () => page(answer.next_cursor))) : '');
    return [...status.childNodes];
  };
  await page();
  return [
    h('h2', { dir: 'auto' }, flow ? `${nameIn(0, Number(flow[1]))} → ${nameIn(1, Number(flow[2]))}` : 'Items that moved'),
    flow && h('p', {}, link({ flow: null }, {}, 'All items that moved')),
    !list.children.length && h('p', { class: 'quiet' }, flow ? 'None of these moved: the cluster became the other one.' : 'None.'),
    list, status,
  ].filter(Boolean);
}

function terms({ terms: all }, after) {
  if (!all.length) return [];
  const names = new Map(after.map(({ label, name }) => [label, name]));
  const said = (words) => words.slice(0, TERMS).join(', ') || '–';
  return [h('h2', {}, 'Words that came and went'), h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Words that came and went' }, h('table', { class: 'wrapped' },
    h('thead', {}, h('tr', {}, ['Cluster after', 'Came', 'Went'].map((column) => h('th', { scope: 'col' }, column)))),
    h('tbody', {}, all.map(({ label, came, went }) => h('tr', {},
      h('th', { scope: 'row', dir: 'auto' }, link({ tab: 'clusters', cluster: label }, {}, names.get(label))), h('td', { dir: 'auto' }, said(came)), h('td', { dir: 'auto' }, said(went)))))))];
}
