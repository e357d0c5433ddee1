/**
 * Changing clusters by hand: rename, merge, split, and the way back. Each change makes a version,
 * of the one that is on the screen; where that is the active one, the new one answers at once.
 */
import { ELSEWHERE, read, replace } from './address.js';
import { get, path, post } from './api.js';
import { announce, button, count, failure, h } from './dom.js';

const MAX_NAME = 100;

export function changes() {
  const said = h('div', { class: 'said', tabindex: -1 });
  let context;
  let about = ''; // the version that was spoken of

  const here = (...parts) => path(['models', context.model.name, ...parts]);
  const keyOf = (model) => `${model?.name} ${model?.version}`;

  /** Put what happened where it stays while the new version is shown. */
  const tell = (...nodes) => {
    said.replaceChildren(...nodes);
    announce(said.textContent);
    said.focus({ preventScroll: true });
    said.scrollIntoView({ block: 'nearest' });
  };

  /** Show another version; `active` where it answers. */
  const turn = async (version, active, keep = {}) => {
    about = `${context.model.name} ${version}`;
    replace({ ...ELSEWHERE, down: null, v: active ? null : version, ...keep });
    await context.refresh();
  };

  const activate = async (version) => {
    const { name } = context.model;
    try {
      await post(here('versions', version, 'activate'));
      await turn(version, true);
      tell(h('p', { class: 'note good' }, `Version ${version} of ${name} is back.`));
    } catch (error) {
      tell(failure(error));
    }
  };

  const change = async (operation, sentence, keep) => {
    const { name, version, active } = context.model;
    const answers = version === active;
    const panel = said.parentElement;
    panel.inert = true;
    let made;
    try {
      made = await post(here('edits'), { version, operations: [operation], activate: answers });
      await turn(made.version, answers, keep?.(made));
      tell(h('div', { class: 'note good ways' }, h('p', {}, `${sentence} This is version ${made.version} of ${name}.`),
        button('Undo', () => (answers ? activate(version) : turn(version, false)))));
    } catch (error) {
      if (error.code === 'version_changed') await context.refresh();
      tell(failure(error.code === 'version_changed'
        ? Object.assign(error, { message: `Meanwhile another version of ${name} was made the active one. Nothing was done.` }) : error));
    } finally {
      panel.inert = false;
    }
    return made;
  };

  return {
    said,

    show(shown) {
      if (about && about !== keyOf(shown.model)) {
        said.replaceChildren();
        about = '';
      }
      context = shown;
    },

    /** A button that takes the last change back, where the version on the screen was made by one. */
    undo() {
      const place = h('span', {});
      const { signal, model } = context;
      get(here(), signal).then(({ versions }) => {
        const own = versions.find((each) => each.version === model.version);
        const before = own?.source === 'edit' && versions.find((each) => each.version === own.based_on && each.state === 'ready');
        if (!before || signal.aborted) return;
        place.append(button(`Undo the last change: back to version ${before.version}`, () =>
          (model.version === model.active ? activate(before.version) : turn(before.version, before.active))));
      }, () => {});
      return place;
    },

    /** Turn a heading into a field for the name; Escape leaves it as it was. */
    rename({ label, name, named }, title, opener) {
      const input = h('input', { name: 'name', 'aria-label': `New name of “${name}”`, maxlength: MAX_NAME, required: true, dir: 'auto', autocomplete: 'off' });
      input.value = name;
      const close = () => {
        form.replaceWith(title);
        opener.focus();
      };
      const keep = () => (read().cluster == null ? {} : { cluster: label });
      const form = h('form', { class: 'renaming', onkeydown: (event) => event.key === 'Escape' && close(), onsubmit: (event) => {
        event.preventDefault();
        const wanted = input.value.trim();
        if (wanted === name || !wanted) close();
        else change({ op: 'rename', cluster: label, name: wanted }, `“${name}” is called “${wanted}” now.`, keep);
      } }, input, h('button', { class: 'main' }, 'Save'), button('Cancel', close),
      named && button('Use its own words', () => change({ op: 'rename', cluster: label, name: null }, `“${name}” is named by its words again.`, keep), { class: 'plain' }));
      title.replaceWith(form);
      input.select();
      input.focus();
    },

    merge(some) {
      const [first, ...others] = some;
      return change({ op: 'merge', clusters: some.map(({ label }) => label) },
        `${count(some.length, 'cluster')} are one: “${first.name}” with ${others.map(({ name }) => `“${name}”`).join(', ')}.`);
    },

    split({ label, name }, parts) {
      return change({ op: 'split', cluster: label, parts, seed: 42 }, `“${name}” is split into ${count(parts, 'part')}.`);
    },
  };
}
