/* Counting and weighing the words of texts, for the CPU: see cpu_fallback/compiled/words.py.
 *
 * Texts come as UTF-8, each ended by a byte that UTF-8 never has, and after the last of them there
 * are seven more of these: eight bytes may be read from any byte of a text. Capitals of ASCII are
 * read as small letters; others come as small letters already. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#define LOOPS_AS_VECTORS __attribute__((optimize("O3")))
/* A product is rounded before it is added to anything, as NumPy does. */
#define EACH_STEP_ROUNDED __attribute__((optimize("fp-contract=off")))
#else
#define LOOPS_AS_VECTORS
#define EACH_STEP_ROUNDED
#endif

#define END 0xFF
#define POINTS 0x110000
#define BLOCK_BITS 12
#define EACH_BYTE (UINT64_MAX / 0xFF)

#define LEAST_ROOM 1024
/* More slots would have hashes in common. */
#define MOST_SLOTS (INT64_C(1) << 31)
/* So many words of a text are put in order by how many come before each; more are sorted. */
#define FEW 48
#define DIGIT_BITS 6
#define DIGITS (1 << DIGIT_BITS)

/* `first` is its first eight bytes, or all of them and then zeros: no word has a zero. All of it
 * stands in `letters` from `start` on, filled up likewise. `latest` is where it was counted last. */
typedef struct {
    uint64_t first;
    int64_t start, length, latest;
} word;

/* Of a word, `after` is the number of the next one: 0 is free. */
typedef struct {
    uint32_t hash;
    int32_t after;
} slot;

/* How often a text has a word; later its column is in the place of its number. */
typedef struct {
    int32_t which;
    uint32_t times;
} counted;

/* Words in the order of their numbers: see _Words in compiled/words.py. */
typedef struct {
    uint64_t key;
    int64_t failed, n_words, n_dropped, n_letters, n_counts, n_slots;
    int64_t word_room, letter_room, count_room, n_bytes;
    word* words;
    uint8_t* letters;
    counted* counts;
    slot* slots;
    uint8_t* names;
} dictionary;

void free_words(dictionary* all)
{
    free(all->words);
    free(all->letters);
    free(all->counts);
    free(all->slots);
    free(all->names);
}

/* An array with room for as many as are needed, or null. */
static void* with_room(void* array, int64_t* room, int64_t needed, size_t size)
{
    if (needed <= *room) return array;
    int64_t wanted = *room < LEAST_ROOM ? LEAST_ROOM : 2 * *room;
    if (wanted < needed) wanted = needed;
    void* larger = realloc(array, wanted * size);
    if (larger) *room = wanted;
    return larger;
}

/* The next eight bytes, the first of them in the lowest bits. */
static inline uint64_t eight(const uint8_t* at)
{
    uint64_t bytes;
    memcpy(&bytes, at, sizeof bytes);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap64(bytes);
#endif
    return bytes;
}

/* Up to eight bytes of which so many are left, with small letters for capitals of ASCII. */
static inline uint64_t part(const uint8_t* at, int64_t left)
{
    const uint64_t bytes = eight(at), low = bytes & 0x7F * EACH_BYTE;
    const uint64_t from_a = low + (0x80 - 'A') * EACH_BYTE, past_z = low + (0x7F - 'Z') * EACH_BYTE;
    const uint64_t capital = ~bytes & from_a & ~past_z & 0x80 * EACH_BYTE;
    const uint64_t small = bytes | capital >> 2;
    return left < 8 ? small & ((UINT64_C(1) << 8 * left) - 1) : small;
}

/* Times a number that nobody knows beforehand: no texts can be made of words with one hash. */
static inline uint64_t mixed(uint64_t hash, uint64_t bytes, uint64_t key)
{
    hash = (hash ^ bytes) * key;
    return hash ^ hash >> 32;
}

/* The slot where a hash belongs: its upper bits, as the lower ones are of few letters. */
static inline int64_t place(const dictionary* all, uint32_t hash)
{
    return (int64_t)(hash * (uint64_t)all->n_slots >> 32);
}

static int more_slots(dictionary* all)
{
    const int64_t before = all->n_slots, n_slots = before ? 2 * before : LEAST_ROOM;
    slot* larger = n_slots > MOST_SLOTS ? NULL : calloc(n_slots, sizeof *larger);
    if (!larger) return 0;
    all->n_slots = n_slots;
    for (int64_t i = 0; i < before; ++i) {
        if (!all->slots[i].after) continue;
        int64_t to = place(all, all->slots[i].hash);
        while (larger[to].after) to = (to + 1) & (n_slots - 1);
        larger[to] = all->slots[i];
    }
    free(all->slots);
    all->slots = larger;
    return 1;
}

static int same(const dictionary* all, const word* one, const uint8_t* at, int64_t length,
                uint64_t first)
{
    if (one->first != first || one->length != length) return 0;
    for (int64_t i = 8; i < length; i += 8)
        if (eight(all->letters + one->start + i) != part(at + i, length - i)) return 0;
    return 1;
}

/* A new word; whether there was room. */
static int add(dictionary* all, const uint8_t* at, int64_t length, uint64_t first)
{
    const int64_t filled_up = (length + 7) & ~INT64_C(7), start = all->n_letters;
    void* larger = with_room(all->words, &all->word_room, all->n_words + 1, sizeof(word));
    if (!larger) return 0;
    all->words = larger;
    larger = with_room(all->letters, &all->letter_room, start + filled_up, 1);
    if (!larger) return 0;
    all->letters = larger;
    for (int64_t i = 0; i < filled_up; i += 8) {
        uint64_t bytes = part(at + i, length - i);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        bytes = __builtin_bswap64(bytes);
#endif
        memcpy(all->letters + start + i, &bytes, sizeof bytes);
    }
    all->words[all->n_words++] = (word){first, start, length, -1};
    all->n_letters += filled_up;
    return 1;
}

/* The number of a word, a new one if it is new; negative where there is no room. */
static inline int64_t number(dictionary* all, const uint8_t* at, int64_t length)
{
    if (2 * all->n_words >= all->n_slots && !more_slots(all)) return -1;
    const uint64_t first = part(at, length);
    uint64_t hash = mixed(0, first, all->key);
    for (int64_t i = 8; i < length; i += 8) hash = mixed(hash, part(at + i, length - i), all->key);
    const uint32_t upper = hash >> 32;
    int64_t i = place(all, upper);
    for (; all->slots[i].after; i = (i + 1) & (all->n_slots - 1)) {
        if (all->slots[i].hash != upper) continue;
        const int64_t found = all->slots[i].after - 1;
        if (same(all, all->words + found, at, length, first)) return found;
    }
    if (!add(all, at, length, first)) return -1;
    all->slots[i] = (slot){upper, (int32_t)all->n_words};
    return all->n_words - 1;
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
        uint32_t point;
        if (i + 8 <= n_bytes && !(eight(text + i) & 0x80 * EACH_BYTE))
            i += 8;
        else if (!character(text + i, &point))
            ++i;
        else {
            marked[point >> BLOCK_BITS] = 1;
            i += character(text + i, &point);
        }
    }
}

/* Of how many bytes the character here is, if it is one of words beyond ASCII; otherwise 0. */
static int64_t letter(const uint8_t* at, const uint8_t* of_words)
{
    uint32_t point;
    const int64_t n_bytes = character(at, &point);
    return n_bytes && of_words[point] ? n_bytes : 0;
}

/* Count a word once more in the text whose counts start at `first`; whether there was room. */
static inline int count(dictionary* all, int64_t which, int64_t first)
{
    word* one = all->words + which;
    if (one->latest >= first) {
        ++all->counts[one->latest].times;
        return 1;
    }
    void* larger = with_room(all->counts, &all->count_room, all->n_counts + 1, sizeof(counted));
    if (!larger) return 0;
    all->counts = larger;
    one->latest = all->n_counts;
    all->counts[all->n_counts++] = (counted){(int32_t)(which - all->n_dropped), 1};
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
    for (int64_t i = 0; i < n_dropped; ++i, ++dropped) {
        const uint8_t* start = dropped;
        while (*dropped != END) ++dropped;
        if (number(all, start, dropped - start) < 0) return;
    }
    all->n_dropped = all->n_words;
    for (int64_t row = 0; row < n_rows; ++row, ++text) {
        const int64_t first = all->n_counts;
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
                const int64_t which = number(all, start, text - start);
                if (which < 0) return;
                if (which >= all->n_dropped && !count(all, which, first)) return;
            }
        }
        in_row[row] = all->n_counts - first;
    }
    all->failed = 0;
}

/* A word that is to be sorted: its first eight bytes as a number that sorts as they do. */
typedef struct {
    uint64_t first;
    const uint8_t* letters;
    int64_t length, number;
} sortable;

static int compare(const void* one, const void* two)
{
    const sortable *a = one, *b = two;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    const int order = memcmp(a->letters, b->letters, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Sort words by their bytes, which is the order of their code points, and write them into `names`
 * with a line feed after each; `rank` becomes the place of each. */
static int sort(dictionary* all, int32_t* rank)
{
    sortable* sorted = malloc((all->n_words + 1) * sizeof *sorted);
    if (!sorted) return 0;
    for (int64_t i = 0; i < all->n_words; ++i) {
        const word* one = all->words + i;
        sorted[i] = (sortable){__builtin_bswap64(one->first), all->letters + one->start,
                               one->length, i};
        all->n_bytes += one->length + 1;
    }
    qsort(sorted, all->n_words, sizeof *sorted, compare);
    uint8_t* name = all->names = malloc(all->n_bytes + 1);
    for (int64_t i = 0; name && i < all->n_words; ++i) {
        memcpy(name, sorted[i].letters, sorted[i].length);
        name += sorted[i].length;
        *name++ = '\n';
        rank[sorted[i].number] = (int32_t)i;
    }
    free(sorted);
    return all->names != NULL;
}

/* Put the words of all parts into the dictionary that stands after them, sorted, and say which
 * place each word of a part has there: `ranks` has room for all words of parts. */
void join_words(int64_t n_parts, dictionary* parts, int32_t* ranks)
{
    dictionary* all = parts + n_parts;
    int32_t* last = ranks;
    all->failed = 1;
    for (dictionary* one = parts; one < all; ++one)
        for (int64_t i = one->n_dropped; i < one->n_words; ++i) {
            const word* each = one->words + i;
            const int64_t found = number(all, one->letters + each->start, each->length);
            if (found < 0) return;
            *last++ = (int32_t)found;
        }
    int32_t* rank = malloc((all->n_words + 1) * sizeof *rank);
    if (rank && sort(all, rank)) {
        for (; ranks < last; ++ranks) *ranks = rank[*ranks];
        all->failed = 0;
    }
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

/* Weigh rows: `weights` from indptr[0] on, each times its term's `idf`, which may be null, and over
 * the row's norm, the `norm`-th root of the sum of its `norm`-th powers, or 0 for none. What is
 * added up is added in the order of columns, and each step is rounded to double. */
EACH_STEP_ROUNDED void weigh_rows(
    int64_t n_rows, int64_t norm, const int32_t* indptr, const int32_t* indices,
    const double* idf, double* restrict weights, float* restrict values)
{
    const int64_t start = indptr[0];
    for (int64_t row = 0; row < n_rows; ++row) {
        double mass = 0;
        for (int64_t j = indptr[row]; j < indptr[row + 1]; ++j) {
            double* weight = weights + (j - start);
            if (idf) *weight *= idf[indices[j]];
            const double power = norm == 2 ? *weight * *weight : *weight;
            mass += power;
        }
        const double by = norm == 0 ? 1 : norm == 2 ? sqrt(mass) : mass;
        for (int64_t j = indptr[row]; j < indptr[row + 1]; ++j)
            values[j] = (float)(weights[j - start] / by);
    }
}
