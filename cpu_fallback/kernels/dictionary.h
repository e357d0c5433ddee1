/* Words and their numbers: an open table of hashes, included by words.c. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EACH_BYTE (UINT64_MAX / 0xFF)

#define LEAST_ROOM 1024
/* Words that are looked up before any is answered. */
#define AT_ONCE 64
/* More slots would have hashes in common. */
#define MOST_SLOTS (INT64_C(1) << 31)

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
    int64_t failed, n_words, n_dropped, n_letters, n_counts, n_slots, n_bytes;
    int64_t word_room, letter_room, count_room;
    word* words;
    uint8_t* letters;
    counted* counts;
    slot* slots;
    uint8_t* names;
} dictionary;

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

/* Times a number that nobody knows beforehand, both halves of the product: each bit of the bytes
 * meets each of the number, and no texts can be made of words that have one hash. */
static inline uint64_t mixed(uint64_t hash, uint64_t bytes, uint64_t key)
{
#ifdef __SIZEOF_INT128__
    const unsigned __int128 product = (unsigned __int128)(hash ^ bytes) * key;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    const uint64_t number = hash ^ bytes, low = (uint32_t)number * (key >> 32);
    const uint64_t high = (number >> 32) * (uint32_t)key;
    return number * key ^ (number >> 32) * (key >> 32) ^ low >> 32 ^ high >> 32;
#endif
}

/* The slot where a hash belongs: its upper bits, as the lower ones are of few letters. */
static inline int64_t place(const dictionary* all, uint32_t hash)
{
    return (int64_t)(hash * (uint64_t)all->n_slots >> 32);
}

static int more_slots(dictionary* all)
{
    const int64_t before = all->n_slots, n_slots = before ? 4 * before : LEAST_ROOM;
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

/* A word whose number is looked up. */
typedef struct {
    const uint8_t* at;
    int64_t length;
    uint64_t first;
    uint32_t hash;
} query;

static inline int same(const dictionary* all, const word* one, const query* other)
{
    if (one->first != other->first || one->length != other->length) return 0;
    for (int64_t i = 8; i < one->length; i += 8)
        if (eight(all->letters + one->start + i) != part(other->at + i, one->length - i)) return 0;
    return 1;
}

/* A new word; whether there was room. */
static int add(dictionary* all, const query* one)
{
    const int64_t filled_up = (one->length + 7) & ~INT64_C(7), start = all->n_letters;
    void* larger = with_room(all->words, &all->word_room, all->n_words + 1, sizeof(word));
    if (!larger) return 0;
    all->words = larger;
    larger = with_room(all->letters, &all->letter_room, start + filled_up, 1);
    if (!larger) return 0;
    all->letters = larger;
    for (int64_t i = 0; i < filled_up; i += 8) {
        uint64_t bytes = part(one->at + i, one->length - i);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        bytes = __builtin_bswap64(bytes);
#endif
        memcpy(all->letters + start + i, &bytes, sizeof bytes);
    }
    all->words[all->n_words++] = (word){one->first, start, one->length, -1};
    all->n_letters += filled_up;
    return 1;
}

/* Ask for a word's number: its slot is called for. */
static inline query probe(const dictionary* all, const uint8_t* at, int64_t length)
{
    const uint64_t first = part(at, length);
    uint64_t hash = mixed(0, first, all->key);
    for (int64_t i = 8; i < length; i += 8) hash = mixed(hash, part(at + i, length - i), all->key);
    __builtin_prefetch(all->slots + place(all, hash >> 32));
    return (query){at, length, first, hash >> 32};
}

/* The number of a word, a new one if it is new; negative where there is no room. */
static inline int64_t number(dictionary* all, const query* one)
{
    int64_t i = place(all, one->hash);
    for (; all->slots[i].after; i = (i + 1) & (all->n_slots - 1)) {
        if (all->slots[i].hash != one->hash) continue;
        const int64_t found = all->slots[i].after - 1;
        if (same(all, all->words + found, one)) return found;
    }
    if (!add(all, one)) return -1;
    all->slots[i] = (slot){one->hash, (int32_t)all->n_words};
    return all->n_words - 1;
}

/* The numbers of some words, in their order; whether there was room. Memory is slower than all
 * else, so it is called for before it is read. */
static int lookup_or_insert(dictionary* all, int64_t n, const query* words, int64_t* numbers)
{
    if (all->n_slots < 2 * (all->n_words + n) && !more_slots(all)) return 0;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t after = all->slots[place(all, words[i].hash)].after;
        if (after) __builtin_prefetch(all->words + after - 1);
    }
    for (int64_t i = 0; i < n; ++i)
        if ((numbers[i] = number(all, words + i)) < 0) return 0;
    return 1;
}
