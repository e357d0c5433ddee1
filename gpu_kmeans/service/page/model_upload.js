/** A model made elsewhere: a file that “Download … as a file” or the command line made. */
import { path, send } from './api.js';
import { announce, failure, field, h, size } from './dom.js';

const TYPES = { tar: 'application/x-tar', zip: 'application/zip' };

/**
 * @param {?string} name of the model that gets a version; null where the form asks for it
 * @param {(made: {model: string, version: number, active: boolean}) => Promise<void>} done
 */
export function modelForm(name, done) {
  const file = h('input', { type: 'file', name: 'archive', required: true, accept: Object.keys(TYPES).map((ending) => `.${ending}`).join() });
  const named = h('input', { name: 'model', required: true, pattern: '[a-z0-9_\\-]{1,64}', maxlength: 64, autocomplete: 'off', spellcheck: 'false' });
  const submit = h('button', {}, 'Bring it');
  const outcome = h('div', { 'aria-live': 'polite' });
  return h('form', { class: 'stack', onsubmit: async (event) => {
    event.preventDefault();
    const [archive] = file.files;
    const goal = name ?? named.value;
    submit.disabled = true;
    outcome.replaceChildren(h('p', { class: 'waiting' }, `Sending ${archive.name}, ${size(archive.size)}`));
    try {
      const type = TYPES[/[^.]*$/.exec(archive.name.toLowerCase())[0]] ?? TYPES.tar;
      const response = await send(path(['models', goal, 'versions']), { method: 'POST', headers: { 'Content-Type': type }, body: archive });
      outcome.replaceChildren();
      announce('It was brought along.');
      await done({ model: goal, ...await response.json() });
    } catch (error) {
      outcome.replaceChildren(failure(error));
    } finally {
      submit.disabled = false;
    }
  } },
    field('File of the model', file, 'As “Download version … as a file” makes it.'),
    name === null && field('Name of the model', named, 'Small letters, digits, - and _.'),
    h('p', { class: 'actions' }, submit), outcome);
}
