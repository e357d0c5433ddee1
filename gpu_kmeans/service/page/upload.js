/** The data: what is there, and a form for more. */
import { get, path, put, remove } from './api.js';
import { announce, ask, button, count, date, failure, field, h, number, size } from './dom.js';

/** What the service looks for in each role, unless told otherwise. */
const ROLES = {
  id: ['Identifier', 'id'],
  text: ['Text', 'overview'],
  title: ['Title', 'title'],
  date: ['Date', 'release_date'],
  popularity: ['Popularity', 'popularity'],
  rating: ['Rating', 'vote_average'],
  votes: ['Number of votes', 'vote_count'],
  genres: ['Genres', 'genres'],
  keywords: ['Keywords', 'keywords'],
};
const TYPES = {
  csv: 'text/csv', txt: 'text/csv', tsv: 'text/tab-separated-values', tab: 'text/tab-separated-values',
  jsonl: 'application/x-ndjson', ndjson: 'application/x-ndjson', json: 'application/x-ndjson', parquet: 'application/vnd.apache.parquet',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', gz: 'application/gzip',
};
const MATRICES = ['npy', 'npz', 'mtx', 'h5ad'];
const ACCEPTED = [...Object.keys(TYPES), ...MATRICES].map((ending) => `.${ending}`).join();
const HEADER_BYTES = 65_536;

/** A data set in words: what tells it from another of the same name. */
const about = (data) => `${count(data.rows, 'row')}, ${size(data.items.bytes)}${data.credits ? ', with credits' : ''}`;
const uploaded = (data) => [' uploaded ', date(data.updated)];

/**
 * The list of what is there.
 *
 * @param {object[]} datasets
 * @param {(message?: Node, chosen?: string) => Promise<void>} changed to be called when it is no more as listed
 */
export const dataList = (datasets, changed) =>
  h('ul', { class: 'rows tall' }, datasets.map((data) => h('li', {},
    h('div', {},
      h('strong', {}, data.name),
      h('span', { class: 'quiet' }, ` ${about(data)},`, uploaded(data)),
      data.problems.length > 0 && h('ul', { class: 'hint' }, data.problems.map((problem) => h('li', {}, problem)))),
    button('Delete', async () => {
      const sure = await ask(`Delete the data “${data.name}”?`, `${about(data)}. Models made of it stay.`, `Delete “${data.name}”`);
      if (!sure) return;
      await remove(path(['datasets', data.name]), data.revision).then(
        () => changed(h('p', { class: 'note good' }, `The data “${data.name}” are deleted.`)),
        (error) => changed(failure(error)));
    }, { class: 'plain', 'aria-label': `Delete the data ${data.name}` }))));

/**
 * The form to upload items, and credits where there are any.
 *
 * @param {object} limits of the service
 * @param {(message?: Node, chosen?: string) => Promise<void>} changed to be called after an upload
 * @returns {{form: Element, show: (datasets: object[]) => void}}
 */
export function dataForm(limits, changed) {
  const items = h('input', { type: 'file', name: 'items', required: true, accept: ACCEPTED });
  const credits = h('input', { type: 'file', name: 'credits', accept: ACCEPTED });
  const name = h('input', { name: 'name', required: true, pattern: '[a-z0-9_\\-]{1,64}', maxlength: 64, autocomplete: 'off', spellcheck: 'false' });
  const known = h('datalist', { id: 'columns' });
  const said = h('p', { class: 'hint strong' });
  const inputs = Object.fromEntries(Object.entries(ROLES).map(([role, [, usual]]) =>
    [role, h('input', { name: role, placeholder: usual, list: 'columns', autocomplete: 'off', spellcheck: 'false' })]));
  const columns = h('details', {},
    h('summary', {}, 'Names of the columns'),
    h('p', { class: 'hint' }, 'Only where they differ from the grey ones. All may be missing: without an identifier rows are numbered, and without a text the columns to cluster are chosen by what they hold, which is said.'),
    h('div', { class: 'grid' }, Object.entries(ROLES).map(([role, [label]]) => field(label, inputs[role]))), known);
  const outcome = h('div', { 'aria-live': 'polite' });
  const submit = h('button', { class: 'main' });
  const taken = h('p', { class: 'hint strong' });
  let datasets = [];

  items.addEventListener('change', async () => {
    const [file] = items.files;
    if (!file) return;
    name.value ||= nameFrom(file.name);
    say();
    const found = await columnsOf(file);
    known.replaceChildren(...found.map((column) => h('option', { value: column })));
    const unusual = found.length > 0 && !found.includes(ROLES.text[1]);
    said.textContent = unusual
      ? `This file has no column “${ROLES.text[1]}”. Name the text to cluster, or leave it to what the columns hold.` : '';
    if (unusual) {
      columns.open = true;
      announce(said.textContent);
    }
  });

  const form = h('form', { class: 'stack' },
    field('File of items, one a row', items, `CSV in UTF-8, Excel, JSON, Parquet, or a matrix (.npy, .npz, .mtx, .h5ad); up to ${size(limits.max_upload_bytes)} and ${number(limits.max_rows)} rows.`),
    said, columns,
    field('Name', name, 'Small letters, digits, - and _.'), taken,
    field('File of credits (may be left out)', credits, 'Cast and crew of films, matched by their column movie_id.'),
    h('p', { class: 'actions' }, submit), outcome);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const named = Object.fromEntries(Object.entries(inputs)
      .map(([role, input]) => [role, input.value.trim() || null]));
    submit.disabled = true;
    try {
      const [goal, table, cast] = [name.value, items.files[0], credits.files[0]];
      const tell = (file) => outcome.replaceChildren(h('p', { class: 'waiting' }, `Uploading ${file.name} as “${goal}”, ${size(file.size)}`));
      const made = await putItems(goal, named, table, () => tell(table));
      if (!made) {
        outcome.replaceChildren(h('p', { class: 'note' }, `Nothing was uploaded, and “${goal}” is as it was. Another name keeps both.`));
        return;
      }
      let message = h('p', { class: 'note good' }, `“${goal}” is uploaded: ${count(made.rows, 'row')}. Make clusters of it next.`);
      if (cast) {
        tell(cast);
        await put(path(['datasets', goal, 'credits']), cast, typeOf(cast), made.revision).catch((error) => {
          message = failure({ ...error, message: `The items of “${goal}” are uploaded; the credits are not: ${error.message}` });
        });
      }
      outcome.replaceChildren();
      form.reset();
      columns.open = false;
      announce(message.textContent);
      await changed(message, goal);
    } catch (error) {
      outcome.replaceChildren(failure(error));
      await changed();
    } finally {
      submit.disabled = false;
    }
  });
  const say = () => {
    const there = datasets.find((data) => data.name === name.value);
    submit.textContent = name.value ? `Upload as “${name.value}”` : 'Upload';
    taken.replaceChildren(...(there ? [`There is a data set “${there.name}” (${about(there)}). You will be asked before it is replaced.`] : []));
  };
  name.addEventListener('input', say);
  form.addEventListener('reset', () => setTimeout(() => {
    for (const each of [said, known]) each.replaceChildren();
    say();
  }));
  say();
  return {
    form,
    show: (listed) => {
      datasets = listed;
      say();
    },
  };
}

/** What the service says where the name has been taken, or the data changed, since they were looked at. */
const MOST_ATTEMPTS = 5;
const OVERTAKEN = ['name_in_use', 'dataset_changed', 'unknown_dataset'];

/** Upload items; where there are some of that name, ask first. Nothing comes back where the reader does not want it. */
async function putItems(name, named, file, begin) {
  for (let attempt = 1; ; attempt += 1) {
    const { datasets } = await get(path(['datasets']));
    const there = datasets.find((data) => data.name === name);
    const sure = !there || await ask(`Replace the data “${name}”?`,
      [`There is a data set of this name: ${about(there)},`, ...uploaded(there), `. Its items${there.credits ? ' and credits' : ''} are gone then; models made of it stay.`],
      `Replace “${name}”`);
    if (!sure) return null;
    begin();
    try {
      return await put(path(['datasets', name, 'items'], { ...named, replace: there && 'true' }), file, typeOf(file), there?.revision);
    } catch (error) {
      if (!OVERTAKEN.includes(error.code) || attempt === MOST_ATTEMPTS) throw error; // else look again, and ask
    }
  }
}

const endingOf = (file) => /[^.]*$/.exec(file.name.toLowerCase())[0];
const typeOf = (file) => TYPES[endingOf(file)] ?? 'application/octet-stream';

const nameFrom = (file) =>
  file.replace(/(\.\w+)?\.\w+$/, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 64);

/** The names in the first line of a CSV file with commas; none of any other. */
async function columnsOf(file) {
  if (typeOf(file) !== TYPES.csv) return [];
  const start = (await file.slice(0, HEADER_BYTES).text()).replace(/^\uFEFF/, '');
  const [line] = /^(?:"(?:[^"]|"")*"|[^"\r\n])*/.exec(start);
  const cells = line.match(/"(?:[^"]|"")*"|[^,]+/g) ?? [];
  return cells.map((cell) => cell.trim().replace(/^"|"$/g, '').replaceAll('""', '"'));
}
