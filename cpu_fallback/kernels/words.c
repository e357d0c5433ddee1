/* Counting the words of texts, for the CPU: see cpu_fallback/compiled/words.py.
 *
 * Texts come as UTF-8, each ended by a byte that UTF-8 never has, and after the last of them there
 * are seven more of these: eight bytes may be read from any byte of a text. Capitals of ASCII are
 * read as small letters; others come as small letters already. */

#include "dictionary.h"

#if defined(__GNUC__) && !defined(__clang__)
#define LOOPS_AS_VECTORS __attribute__((optimize("O3")))
#else
#define LOOPS_AS_VECTORS
#endif

#define END 0xFF
#define POINTS 0x110000
#define BLOCK_BITS 12

/* So many words of a text are put in order by how many come before each; more are sorted. */
#define FEW 48
#define DIGIT_BITS 6
#define DIGITS (1 << DIGIT_BITS)

void free_words(dictionary* all)
{
    free(all->words);
    free(all->letters);
    free(all->counts);
    free(all->slots);
    free(all->names);
}

/* Of how many bytes the character is that starts here, and its code point; 0 if none does. */
static inline int64_t character(const uint8_t* at, uint32_t* point)
{
    if (*at < 0xC0 || *at >= 0xF8) return 0;
    const int64_t n_bytes = *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
    *point = *at & (0x7F >> n_bytes);
    for (int64_t i = 1; i < n_bytes; ++i) {
        if ((at[i] & 0xC0) != 0x80) return 0;
        *point = *point << 6 | (at[i] & 0x3F);
    }
    return *point < POINTS ? n_bytes : 0;
}

/* Mark the blocks of code points, beyond ASCII, that there are characters of. */
void mark_blocks(int64_t n_bytes, const uint8_t* text, uint8_t* marked)
{
    for (int64_t i = 0; i < n_bytes;) {
        if (i + 8 <= n_bytes && !(eight(text + i) & 0x80 * EACH_BYTE)) {
            i += 8;
            continue;
        }
        uint32_t point;
        const int64_t found = character(text + i, &point);
        if (found) marked[point >> BLOCK_BITS] = 1;
        i += found ? found : 1;
    }
}

/* Of how many bytes the character here is, if it is one of words beyond ASCII; otherwise 0. */
static int64_t letter(const uint8_t* at, const uint8_t* of_words)
{
    uint32_t point;
    const int64_t n_bytes = character(at, &point);
    return n_bytes && of_words[point] ? n_bytes : 0;
}

/* Count some words of the text whose counts start at `first`; whether there was room. */
static int count(dictionary* all, int64_t n, const query* words, int64_t first)
{
    int64_t numbers[AT_ONCE];
    void* larger = with_room(all->counts, &all->count_room, all->n_counts + n, sizeof(counted));
    if (!larger) return 0;
    all->counts = larger;
    if (!lookup_or_insert(all, n, words, numbers)) return 0;
    for (int64_t i = 0; i < n; ++i) {
        word* one = all->words + numbers[i];
        if (numbers[i] < all->n_dropped) continue;
        if (one->latest < first) {
            one->latest = all->n_counts++;
            all->counts[one->latest] = (counted){(int32_t)(numbers[i] - all->n_dropped), 0};
        }
        ++all->counts[one->latest].times;
    }
    return 1;
}

/* Find the words of n texts that have at least so many characters and are none of those to be
 * dropped, and count them; `in_row` becomes how many different ones each text has. `of_words` says
 * of each code point whether words are made of it. */
void find_words(
    int64_t n_rows, int64_t min_length, int64_t n_dropped, const uint8_t* text,
    const uint8_t* dropped, const uint8_t* of_words, dictionary* all, int64_t* in_row)
{
    uint8_t ascii[256] = {0};
    memcpy(ascii, of_words, 128);
    all->failed = 1;
    if (!more_slots(all)) return;
    query words[AT_ONCE];
    for (int64_t i = 0; i < n_dropped; ++i, ++dropped) {
        const uint8_t* start = dropped;
        while (*dropped != END) ++dropped;
        const query one = probe(all, start, dropped - start);
        int64_t which;
        if (!lookup_or_insert(all, 1, &one, &which)) return;
    }
    all->n_dropped = all->n_words;
    for (int64_t row = 0; row < n_rows; ++row, ++text) {
        const int64_t first = all->n_counts;
        int64_t n = 0;
        while (*text != END) {
            const uint8_t* start = text;
            int64_t followers = 0; /* bytes that are not the first of a character */
            for (;;) {
                while (ascii[*text]) ++text;
                const int64_t n_bytes = letter(text, of_words);
                if (!n_bytes) break;
                text += n_bytes;
                followers += n_bytes - 1;
            }
            if (text == start)
                ++text;
            else if (text - start - followers >= min_length) {
                words[n++] = probe(all, start, text - start);
                if (n < AT_ONCE) continue;
                if (!count(all, n, words, first)) return;
                n = 0;
            }
        }
        if (n && !count(all, n, words, first)) return;
        in_row[row] = all->n_counts - first;
    }
    free(all->slots);
    all->slots = NULL;
    all->failed = 0;
}

/* A word that is to be sorted: its first eight bytes as a number that sorts as they do. */
typedef struct {
    uint64_t first;
    const word* whole;
    const uint8_t* letters;
} sortable;

static int compare(const void* one, const void* two)
{
    const sortable *a = one, *b = two;
    const int64_t n = a->whole->length, m = b->whole->length;
    const int order = memcmp(a->letters, b->letters, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

/* Sort words by their bytes, which is the order of their code points. `room` is for as many. */
static void sort(int64_t n, sortable* words, sortable* room)
{
    /* Eight times, so that they end up where they were. */
    for (int shift = 0; shift < 64; shift += 8) {
        int64_t start[257] = {0};
        for (int64_t i = 0; i < n; ++i) ++start[(words[i].first >> shift & 0xFF) + 1];
        for (int digit = 0; digit < 256; ++digit) start[digit + 1] += start[digit];
        for (int64_t i = 0; i < n; ++i)
            room[start[words[i].first >> shift & 0xFF]++] = words[i];
        sortable* sorted = room;
        room = words;
        words = sorted;
    }
    for (int64_t i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && words[next].first == words[i].first;) ++next;
        if (next - i > 1) qsort(words + i, next - i, sizeof *words, compare);
    }
}

/* Sort the words and write them into `names`, with a line feed after each; `rank` becomes the
 * place of each. `room` is for two of each word. */
static int write_names(dictionary* all, sortable* room, int32_t* rank)
{
    const int64_t n = all->n_words;
    for (int64_t i = 0; i < n; ++i) {
        const word* one = all->words + i;
        room[i] = (sortable){__builtin_bswap64(one->first), one, all->letters + one->start};
        all->n_bytes += one->length + 1;
    }
    sort(n, room, room + n);
    uint8_t* name = all->names = malloc(all->n_bytes + 1);
    for (int64_t i = 0; name && i < n; ++i) {
        memcpy(name, room[i].letters, room[i].whole->length);
        name += room[i].whole->length;
        *name++ = '\n';
        rank[room[i].whole - all->words] = (int32_t)i;
    }
    return name != NULL;
}

/* Put the words of all parts into the dictionary that stands after them, sorted, and say which
 * place each word of a part has there: `ranks` has room for all words of parts. */
void join_words(int64_t n_parts, dictionary* parts, int32_t* ranks)
{
    dictionary* all = parts + n_parts;
    int32_t* last = ranks;
    query words[AT_ONCE];
    int64_t numbers[AT_ONCE];
    all->failed = 1;
    if (!more_slots(all)) return;
    for (const dictionary* one = parts; one < all; ++one)
        for (int64_t i = one->n_dropped; i < one->n_words;) {
            int64_t n = 0;
            for (; n < AT_ONCE && i < one->n_words; ++n, ++i)
                words[n] = probe(all, one->letters + one->words[i].start, one->words[i].length);
            if (!lookup_or_insert(all, n, words, numbers)) return;
            for (int64_t j = 0; j < n; ++j) *last++ = (int32_t)numbers[j];
        }
    sortable* room = malloc((2 * all->n_words + 1) * sizeof *room);
    int32_t* rank = malloc((all->n_words + 1) * sizeof *rank);
    if (room && rank && write_names(all, room, rank)) {
        for (; ranks < last; ++ranks) *ranks = rank[*ranks];
        all->failed = 0;
    }
    free(room);
    free(rank);
}

/* Put columns in the place of words, and leave out those whose column is negative. */
void set_columns(int64_t n_rows, dictionary* all, const int32_t* columns, int64_t* in_row)
{
    if (!all->n_counts) return;
    const counted* from = all->counts;
    counted* to = all->counts;
    for (int64_t row = 0; row < n_rows; ++row) {
        const counted* first = to;
        for (const counted* end = from + in_row[row]; from < end; ++from) {
            const int32_t column = columns[from->which];
            *to = (counted){column, from->times};
            to += column >= 0;
        }
        in_row[row] = to - first;
    }
}

LOOPS_AS_VECTORS static void write_few(
    int64_t n, const counted* row, int32_t* restrict indices, int32_t* restrict times)
{
    int32_t columns[FEW];
    for (int64_t i = 0; i < n; ++i) columns[i] = row[i].which;
    for (int64_t i = 0; i < n; ++i) {
        int32_t before = 0;
        for (int64_t j = 0; j < n; ++j) before += columns[j] < columns[i];
        indices[before] = columns[i];
        times[before] = (int32_t)row[i].times;
    }
}

/* Sort a row's counts by column, digit by digit; `room` is for as many. */
static const counted* sorted_by_column(int64_t n, counted* row, counted* room)
{
    int32_t largest = 0;
    for (int64_t i = 0; i < n; ++i) largest |= row[i].which;
    for (int shift = 0; shift < 31 && largest >> shift; shift += DIGIT_BITS) {
        int64_t start[DIGITS + 1] = {0};
        for (int64_t i = 0; i < n; ++i) ++start[(row[i].which >> shift) % DIGITS + 1];
        for (int digit = 0; digit < DIGITS; ++digit) start[digit + 1] += start[digit];
        for (int64_t i = 0; i < n; ++i) room[start[(row[i].which >> shift) % DIGITS]++] = row[i];
        counted* sorted = room;
        room = row;
        row = sorted;
    }
    return row;
}

/* Write the counts of n rows where `indptr` says, in the order of columns. `room` is for the
 * counts of any row. */
void write_rows(
    int64_t n_rows, dictionary* all, const int64_t* indptr, counted* room, int32_t* indices,
    int32_t* times)
{
    if (!all->n_counts) return;
    counted* row = all->counts;
    for (int64_t i = 0; i < n_rows; ++i) {
        const int64_t at = indptr[i], n = indptr[i + 1] - at;
        if (n <= FEW)
            write_few(n, row, indices + at, times + at);
        else {
            const counted* sorted = sorted_by_column(n, row, room);
            for (int64_t j = 0; j < n; ++j) {
                indices[at + j] = sorted[j].which;
                times[at + j] = (int32_t)sorted[j].times;
            }
        }
        row += n;
    }
}
