/** The data: what is there, and a form for more. */
import { path, put, remove } from './api.js';
import { announce, button, count, failure, field, h, number, size } from './dom.js';

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
const NEEDED = ['id', 'text'];
const HEADER_BYTES = 65_536;

export const dataList = (datasets, changed) =>
  h('ul', { class: 'rows tall' }, datasets.map((data) => h('li', {},
    h('div', {},
      h('strong', {}, data.name),
      h('span', { class: 'quiet' }, ` ${count(data.rows, 'row')}, ${size(data.items.bytes)}${data.credits ? ', with credits' : ''}`),
      data.problems.length > 0 && h('ul', { class: 'hint' }, data.problems.map((problem) => h('li', {}, problem)))),
    button('Delete', async (event) => {
      if (!confirm(`Delete the data “${data.name}”? Models made of it stay.`)) return;
      await remove(path(['datasets', data.name]))
        .then(changed, (error) => event.target.after(failure(error)));
    }, { class: 'plain', 'aria-label': `Delete ${data.name}` }))));

/** The form to upload items, and credits where there are any. */
export function dataForm(datasets, limits, changed) {
  const items = h('input', { type: 'file', name: 'items', required: true, accept: '.csv,.parquet,text/csv' });
  const credits = h('input', { type: 'file', name: 'credits', accept: '.csv,.parquet,text/csv' });
  const name = h('input', { name: 'name', required: true, pattern: '[a-z0-9_\\-]{1,64}', maxlength: 64, autocomplete: 'off', spellcheck: 'false' });
  const known = h('datalist', { id: 'columns' });
  const said = h('p', { class: 'hint strong' });
  const inputs = Object.fromEntries(Object.entries(ROLES).map(([role, [, usual]]) =>
    [role, h('input', { name: role, placeholder: usual, list: 'columns', autocomplete: 'off', spellcheck: 'false' })]));
  const columns = h('details', {},
    h('summary', {}, 'Names of the columns'),
    h('p', { class: 'hint' }, 'Only where they differ from the grey ones. An identifier and a text are needed; the rest may be missing.'),
    h('div', { class: 'grid' }, Object.entries(ROLES).map(([role, [label]]) => field(label, inputs[role]))), known);
  const outcome = h('div', { 'aria-live': 'polite' });
  const submit = h('button', { class: 'main' }, 'Upload');

  items.addEventListener('change', async () => {
    const [file] = items.files;
    if (!file) return;
    name.value ||= nameFrom(file.name);
    const found = await columnsOf(file);
    known.replaceChildren(...found.map((column) => h('option', { value: column })));
    const missing = NEEDED.filter((role) => found.length && !found.includes(ROLES[role][1]));
    said.textContent = missing.length
      ? `This file has no column ${missing.map((role) => `“${ROLES[role][1]}”`).join(' and no ')}. Which of its ${found.length} columns to use instead?` : '';
    if (missing.length) {
      columns.open = true;
      announce(said.textContent);
    }
    for (const role of NEEDED) inputs[role].required = missing.includes(role);
  });

  const form = h('form', { class: 'stack' },
    field('File of items, one a row', items, `CSV in UTF-8, or Parquet; up to ${size(limits.max_upload_bytes)} and ${number(limits.max_rows)} rows.`),
    said, columns,
    field('Name', name, 'Small letters, digits, - and _. A name that is there already is replaced.'),
    field('File of credits (may be left out)', credits, 'Cast and crew of films, matched by their column movie_id.'),
    h('p', { class: 'actions' }, submit), outcome);

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const named = Object.fromEntries(Object.entries(inputs)
      .map(([role, input]) => [role, input.value.trim() || null]));
    submit.disabled = true;
    try {
      for (const [part, file] of [['items', items.files[0]], ['credits', credits.files[0]]]) {
        if (!file) continue;
        outcome.replaceChildren(h('p', { class: 'waiting' }, `Uploading ${file.name}, ${size(file.size)}`));
        await put(path(['datasets', name.value, part], part === 'items' ? named : {}), file, typeOf(file));
      }
      announce(`${name.value} is uploaded`);
      changed();
    } catch (error) {
      outcome.replaceChildren(failure(error));
    } finally {
      submit.disabled = false;
    }
  });
  return form;
}

const isParquet = (file) => file.name.toLowerCase().endsWith('.parquet');
const typeOf = (file) => (isParquet(file) ? 'application/vnd.apache.parquet' : 'text/csv');

const nameFrom = (file) =>
  file.replace(/\.\w+$/, '').toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 64);

/** The names in the first line of a CSV file; none of any other. */
async function columnsOf(file) {
  if (isParquet(file)) return [];
  const start = (await file.slice(0, HEADER_BYTES).text()).replace(/^\uFEFF/, '');
  const [line] = /^(?:"(?:[^"]|"")*"|[^"\r\n])*/.exec(start);
  const cells = line.match(/"(?:[^"]|"")*"|[^,]+/g) ?? [];
  return cells.map((cell) => cell.trim().replace(/^"|"$/g, '').replaceAll('""', '"'));
}
