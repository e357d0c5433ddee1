/** Clusters: their names, sizes and typical items; down their levels, and into one of them. */
import { link } from './address.js';
import { get, getOnce } from './api.js';
import { nameOf } from './cards.js';
import { cluster as oneCluster, noCluster } from './cluster.js';
import { changes } from './cluster_edit.js';
import { exports } from './export.js';
import { button, count, fill, h, number, percent } from './dom.js';
import { badge, inWords } from './profile.js';
import { which } from './which.js';

const MANY = 60;
const WORST = 10;

const region = h('div', { class: 'region' });
const edit = changes();

/** @type {import('./main.js').View} */
export const clusters = {
  id: 'clusters',
  label: 'Clusters',
  keys: ['cluster', 'down'],

  mount(panel) {
    panel.append(edit.said, region);
  },

  show(context) {
    const { state, signal } = context;
    edit.show(context);
    fill(region, signal, async () => {
      if (state.cluster === '-1') return noCluster(context);
      const { clusters: profiles } = await getOnce(context.at(['profiles']));
      if (state.cluster != null) return oneCluster(context, profiles.find(({ label }) => String(label) === state.cluster), edit);
      const { levels } = state.down ? await getOnce(context.at(['levels'])) : {};
      return levels ? level(levels, state.down, profiles) : all(context, profiles);
    });
  },
};

/** All clusters as cards, the largest first. */
function all(context, profiles) {
  const { model, at, signal } = context;
  const largest = profiles.filter(({ size }) => size > 0).toSorted((a, b) => b.size - a.size);
  const chosen = new Set();
  const merge = button('', () => edit.merge([...chosen].toSorted((a, b) => b.size - a.size)), { class: 'main' });
  const bar = h('div', { class: 'merge', role: 'group', 'aria-label': 'What to do with those chosen' }, merge,
    button('Choose none', () => {
      for (const box of list.querySelectorAll(':checked')) box.checked = false;
      chosen.clear();
      say();
    }, { class: 'plain' }));
  const say = () => {
    bar.hidden = chosen.size < 2;
    merge.textContent = `Merge these ${chosen.size} clusters`;
  };
  const choose = (cluster) => (event) => {
    chosen[event.target.checked ? 'add' : 'delete'](cluster);
    say();
  };
  const list = h('ul', { class: 'named' });
  const put = (some) => list.append(...some.map((each) => card(each, largest[0].size, choose(each))));
  put(largest.slice(0, MANY));
  const more = largest.length > MANY && button(`Show all ${number(largest.length)}`, () => {
    put(largest.slice(MANY));
    more.remove();
  });
  say();
  const worst = h('section', { class: 'worst' });
  getOnce(at(['outliers'], { limit: WORST })).then((found) => {
    if (signal.aborted) return;
    markJunk(list, found.junk_clusters);
    worst.replaceChildren(...worstItems(found, profiles, context));
  }, () => {}); // the list is of use without them
  return [
    h('h1', {}, `${count(largest.length, 'cluster')} of ${model.name}`),
    h('p', { class: 'quiet' }, 'A cluster is a group of items that are alike. Open one to see what sets it apart; rename it, or choose several to merge them.'),
    h('p', { class: 'actions' },
      largest.length > 3 && link({ down: 'all' }, { class: 'button' }, 'From coarse to fine'), edit.undo(), exports(context)),
    which(context, profiles), bar, list, more || '', unclustered(context), worst,
  ];
}

function card(profile, most, choose) {
  const { label, name, size, share, typical } = profile;
  return h('li', { class: 'cluster-card', 'data-label': label },
    h('div', { class: 'cluster-top' },
      h('input', { type: 'checkbox', 'aria-label': `Choose “${name}”`, onchange: choose }),
      h('h2', { dir: 'auto' }, link({ cluster: label, down: null }, {}, name)),
      button('Rename', ({ target }) => edit.rename(profile, target.closest('li').querySelector('h2'), target), { class: 'plain', 'aria-label': `Rename “${name}”` })),
    h('span', { class: 'share', style: `--share: ${size / most}` }, `${count(size, 'item')}, ${percent(share)}`),
    h('p', { class: 'hint' }, inWords(profile.reasons)),
    typical.length > 0 && h('p', { class: 'typical' }, h('span', { class: 'quiet' }, 'Typical: '),
      typical.flatMap((item, place) => [place ? ' · ' : '', link({ item: item.id }, { dir: 'auto' }, nameOf(item))])));
}

/** Say of clusters that hold together badly that they do. */
function markJunk(list, junk) {
  for (const { label } of junk) {
    const place = list.querySelector(`[data-label="${label}"]`);
    place?.querySelector('h2').append(badge());
  }
}

function worstItems({ items }, profiles, { model, at, signal }) {
  const known = items.filter(({ score }) => score != null);
  if (!known.length) return [];
  const names = new Map(profiles.map(({ label, name }) => [label, name]));
  const rows = (some) => some.map((item) => h('li', {},
    link({ item: item.id }, { dir: 'auto' }, nameOf(item)),
    h('span', { class: 'quiet' }, item.cluster < 0 ? 'in no cluster' : link({ cluster: item.cluster, down: null }, { dir: 'auto' }, names.get(item.cluster))),
    h('span', { class: 'quiet n' }, `${number(item.score)} × as far as usual`)));
  const list = h('ul', { class: 'rows' }, rows(known));
  const more = h('div', {});
  const page = async (cursor) => {
    const next = await get(at(['outliers'], { limit: 50, cursor }), signal);
    list.append(...rows(next.items.filter(({ score }) => score != null)));
    offer(next.next_cursor);
    return [...more.childNodes];
  };
  const offer = (cursor) => more.replaceChildren(cursor ? button('Show more', () => fill(more, signal, () => page(cursor))) : '');
  get(at(['outliers'], { limit: WORST }), signal).then(({ next_cursor: cursor }) => offer(cursor), () => {});
  return [h('h2', {}, 'Items that fit worst'),
    h('p', { class: 'hint' }, `How far each is from the nearest cluster of ${model.name}, beside an ordinary item of it.`), list, more];
}

function unclustered({ at, signal }) {
  const place = h('p', {});
  getOnce(at(['clusters'])).then(({ unclustered: many }) => {
    if (many && !signal.aborted) place.append(link({ cluster: -1, down: null }, {}, `${count(many, 'item')} in no cluster`));
  }, () => {});
  return place;
}

/** One group of a level, and the parts it has on the next. */
function level(levels, down, profiles) {
  const path = down === 'all' ? [] : down.split('.').map(Number);
  const way = path.map((label, depth) => levels[depth]?.clusters[label]);
  if (path.length >= levels.length || way.some((group, depth) => !group || (depth && group.parent !== path[depth - 1]))) {
    return [h('p', {}, 'There is no such group in this version. ', link({ down: 'all' }, {}, 'Begin at the top'))];
  }
  const depth = path.length;
  const parts = levels[depth].clusters.filter(({ parent, size }) => size > 0 && (!depth || parent === path[depth - 1]))
    .toSorted((a, b) => b.size - a.size);
  const names = new Map(profiles.map(({ label, name }) => [label, name]));
  const crumb = (text, to, last) => h('li', {}, last ? h('span', { 'aria-current': 'location' }, text) : link({ down: to }, { dir: 'auto' }, text));
  return [
    h('nav', { 'aria-label': 'Levels' }, h('ol', { class: 'crumbs' },
      h('li', {}, link({ down: null }, {}, 'All clusters')),
      crumb('Coarsest', 'all', !depth),
      way.map(({ name }, at) => crumb(name, path.slice(0, at + 1).join('.'), at === depth - 1)))),
    h('h1', { dir: 'auto' }, depth ? way.at(-1).name : `From coarse to fine: ${levels.map((each) => each.n_clusters).join(', ')} clusters`),
    h('p', { class: 'quiet' }, depth
      ? `${count(way.at(-1).size, 'item')}, in ${count(parts.length, 'part')}.`
      : 'Clusters that are alike belong to one group. Go down to see its parts.'),
    h('ul', { class: 'named' }, parts.map((group) => {
      const own = group.labels.length === 1;
      const to = own ? { cluster: group.labels[0], down: null } : { down: [...path, group.label].join('.') };
      return h('li', { class: 'cluster-card' },
        h('h2', { dir: 'auto' }, link(to, {}, own ? names.get(group.labels[0]) : group.name)),
        h('span', { class: 'share', style: `--share: ${group.size / parts[0].size}` }, count(group.size, 'item')),
        h('p', { class: 'hint' }, own ? 'One cluster.' : `${count(group.labels.length, 'cluster')}: ${group.labels.slice(0, 4).map((label) => names.get(label)).join(' · ')}${group.labels.length > 4 ? ' …' : ''}`));
    })),
  ];
}
