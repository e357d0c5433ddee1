/** One item with all that is known of it, and the items most like it: a sheet over the view. */
import { go, link, read } from './address.js';
import { get, getOnce } from './api.js';
import { facts, heading, markedText, nameOf, termsOf } from './cards.js';
import { button, fill, h, number } from './dom.js';

const region = h('div', { class: 'region' });
const dialog = h('dialog', { class: 'sheet', 'aria-label': 'Item' },
  button('Close', () => dialog.close(), { class: 'close' }), region);

/** @type {import('./main.js').View} */
export const item = {
  id: 'item',
  label: 'Item',
  keys: ['item'],

  mount(body) {
    body.append(dialog);
    dialog.addEventListener('close', () => read().item && go({ item: null }));
    dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  },

  show({ state, model, at, signal }) {
    if (!state.item) {
      dialog.close();
      return;
    }
    region.replaceChildren();
    dialog.scrollTop = 0;
    if (!dialog.open) dialog.showModal();
    fill(region, signal, async () => {
      const [{ item: opened, items }, { clusters }] = await Promise.all([
        get(at(['items', state.item, 'similar'], { limit: 10 }), signal), getOnce(at(['clusters']))]);
      return content(opened, items, clusters, model.wordless);
    });
  },
};

/** The reason of an item that is in no cluster: one with a known word has similar items. */
function whyUnclustered(opened, similar) {
  if (!opened.text) return 'it has no text';
  return similar.length ? 'it was set apart' : 'its text has no word that the model knows';
}

function content(opened, similar, clusters, wordless) {
  const known = {
    'Directed by': opened.directors, With: opened.cast, Genres: opened.genres, Keywords: opened.keywords,
  };
  return [
    h('h2', { class: 'title' }, h('span', { dir: 'auto' }, nameOf(wordless ? opened : { ...opened, text: '' })), ' ',
      opened.date && h('span', { class: 'year' }, opened.date)),
    facts({ ...opened, genres: [] }) || '',
    !wordless && h('p', { class: 'text', dir: 'auto' }, opened.text || 'It has no text.'),
    h('dl', {}, Object.entries(known).filter(([, names]) => names.length).map(([name, names]) =>
      h('div', {}, h('dt', {}, name), h('dd', { dir: 'auto' }, names.join(', ')))),
    Object.entries(opened.columns).filter(([, cell]) => cell !== null && cell !== '').map(([name, cell]) =>
      h('div', {}, h('dt', {}, name), h('dd', { dir: 'auto' }, typeof cell === 'number' ? number(cell) : cell)))),
    h('p', {}, opened.cluster < 0
      ? `It is in no cluster, because ${whyUnclustered(opened, similar)}.`
      : ['In ', link({ tab: 'map', cluster: opened.cluster, item: null }, {}, `cluster ${opened.cluster}`), `: ${termsOf(clusters[opened.cluster])}.`]),
    h('p', {}, link({ tab: 'search', like: String(opened.id), less: null, q: null, in: null, where: null, rank: null, n: null, item: null }, { class: 'button' }, 'Search for more like this')),
    h('h3', {}, 'Similar items'),
    similar.length
      ? h('p', { class: 'quiet' }, wordless ? 'The most alike first.' : 'The closest texts first, with the words they share marked.')
      : h('p', { class: 'quiet' }, 'None: its text shares no word with another.'),
    h('ol', { class: 'similar' }, similar.map((each) =>
      h('li', {}, heading('h4', each), markedText(each.marked),
        h('p', { class: 'quiet facts' }, `match ${number(each.parts.relevance)}`)))),
  ].filter(Boolean);
}
