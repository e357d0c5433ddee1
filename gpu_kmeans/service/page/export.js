/** Taking clusters along: all columns of all items or of one cluster, of the version on the screen. */
import { download } from './api.js';
import { button, failure, h } from './dom.js';

const FORMATS = { csv: 'CSV', parquet: 'Parquet', xlsx: 'Excel' };

/**
 * Buttons that download the items with all their columns, their cluster and its name.
 *
 * @param {import('./main.js').Context} context
 * @param {number} [cluster] all of them where there is none
 */
export function exports({ model, at, signal }, cluster) {
  const outcome = h('span', { 'aria-live': 'polite' });
  const file = (format) => `${model.name}-${model.version}${cluster == null ? '' : `-cluster-${cluster}`}.${format}`;
  const take = (format) => async ({ target }) => {
    target.disabled = true;
    outcome.replaceChildren();
    try {
      await download(at(['export'], { format, columns: 'true', cluster }), file(format));
    } catch (error) {
      outcome.replaceChildren(failure(error));
    } finally {
      target.disabled = false;
      if (list.open) target.focus(); // which it lost meanwhile
    }
  };
  const what = cluster == null ? `all items of version ${model.version}` : 'the items of this cluster';
  const close = () => { list.open = false; };
  const list = h('details', { class: 'export' }, h('summary', { class: 'button' }, 'Download'),
    h('div', {}, h('p', { class: 'hint' }, `Takes ${what}, with all columns, their cluster and its name.`),
      h('p', { class: 'actions' }, Object.entries(FORMATS).map(([format, label]) =>
        button(label, take(format), { 'aria-label': `Download ${what} as ${label}` }))), outcome));
  document.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !list.open) return;
    close();
    list.querySelector('summary').focus();
  }, { signal });
  document.addEventListener('pointerdown', ({ target }) => list.contains(target) || close(), { signal });
  return list;
}
