/* Included by rows.c: a pool of threads that share out the tasks of a job.
 *
 * Small data leave a verb less to do than it takes a sleeping thread to wake. So a helper that has
 * done its part looks out for the next job for a while (SPIN_NANOSECONDS) before it sleeps, as those of
 * OpenMP do. The caller works, too, and waits for no helper that has not begun: on a busy machine
 * it does the work alone. One job at a time has the pool; who calls meanwhile works alone, too. */

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* Nanoseconds that a helper looks out for the next job. */
#define SPIN_NANOSECONDS 100000
/* Looks between two looks at the clock. */
#define LOOKS 64
/* Attempts at a lock before a thread sleeps for it: it is never held for long. */
#define ATTEMPTS 4096
#define MOST_HELPERS 255
#define STACK_BYTES (1 << 20)

/* `who` is 0 for the caller, and else a helper's number: no two have the same at a time. */
typedef void (*work_fn)(const void* about, int64_t task, int who);

static struct {
    atomic_flag taken;
    pthread_mutex_t lock;
    pthread_cond_t called;
    atomic_uint jobs;         /* called so far */
    atomic_int_fast64_t begun, last; /* tasks of the present job, and of those of helpers the last */
    atomic_int inside;        /* helpers that have begun */
    /* Under the lock: */
    int n_workers, asleep, wanted, open, core; /* the caller's */
    work_fn work;
    const void* about;
    int64_t n_tasks;
} pool = {.taken = ATOMIC_FLAG_INIT,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .called = PTHREAD_COND_INITIALIZER};

static inline void pause_core(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void enter(void)
{
    for (int attempt = 0; attempt < ATTEMPTS; ++attempt) {
        if (!pthread_mutex_trylock(&pool.lock)) return;
        pause_core();
    }
    pthread_mutex_lock(&pool.lock);
}

static void leave(void) { pthread_mutex_unlock(&pool.lock); }

/* The caller begins with the first task and helpers with the last one: so each has, job for job,
 * mostly the same tasks, and what these are about in its core's cache. */
static void run_tasks(work_fn work, const void* about, int64_t n_tasks, int who)
{
    for (int64_t first = 0; atomic_fetch_add(&pool.begun, 1) < n_tasks;)
        work(about, who ? atomic_fetch_sub(&pool.last, 1) : first++, who);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

#ifdef __linux__
static int core(void) { return sched_getcpu(); }

/* To a core other than the caller's, if this thread may use one. */
static void leave_callers_core(int from)
{
    cpu_set_t all, others;
    if (from < 0 || sched_getaffinity(0, sizeof all, &all) || !CPU_ISSET(from, &all)) return;
    others = all;
    CPU_CLR(from, &others);
    if (!CPU_COUNT(&others) || sched_setaffinity(0, sizeof others, &others)) return;
    sched_setaffinity(0, sizeof all, &all);
}
#else
static int core(void) { return -1; }
static void leave_callers_core(int from) { (void)from; }
#endif

/* Look out for a job after the one `seen`. */
static void spin_wait(unsigned seen)
{
    const int64_t end = now() + SPIN_NANOSECONDS;
    do
        for (int look = 0; look < LOOKS; ++look) {
            if (atomic_load(&pool.jobs) != seen) return;
            pause_core();
        }
    while (now() < end);
}

static void* worker_loop(void* number)
{
    const int mine = (int)(intptr_t)number;
    enter();
    unsigned seen = atomic_load(&pool.jobs) - 1; /* n_workers for the present one */
    for (;;) {
        while (atomic_load(&pool.jobs) == seen) {
            ++pool.asleep;
            pthread_cond_wait(&pool.called, &pool.lock);
            --pool.asleep;
        }
        seen = atomic_load(&pool.jobs);
        if (mine >= pool.wanted) continue; /* and sleeps */
        const int joins = pool.open, taken = pool.core;
        const work_fn work = pool.work;
        const void* about = pool.about;
        const int64_t n_tasks = pool.n_tasks;
        if (joins) atomic_fetch_add(&pool.inside, 1);
        leave();
        if (core() == taken) leave_callers_core(taken);
        if (joins) {
            run_tasks(work, about, n_tasks, mine + 1);
            atomic_fetch_sub(&pool.inside, 1);
        }
        if (taken < 0 || core() != taken) spin_wait(seen);
        enter();
    }
    return NULL;
}

/* A forked process has the pool's books without its threads. */
static void after_fork(void)
{
    const pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const pthread_cond_t called = PTHREAD_COND_INITIALIZER;
    pool.lock = lock;
    pool.called = called;
    pool.n_workers = pool.asleep = pool.open = 0;
    atomic_store(&pool.inside, 0);
    atomic_flag_clear(&pool.taken);
}

/* Whether forks are watched, from the moment that the library is loaded. */
static int watched;

__attribute__((constructor)) static void watch_forks(void)
{
    watched = !pthread_atfork(NULL, NULL, after_fork);
}

/* Under the lock; where no more threads are to be had, there are fewer helpers. */
static void spawn_workers(int wanted)
{
    if (pool.n_workers >= wanted || !watched) return;
    pthread_attr_t like;
    pthread_attr_init(&like);
    pthread_attr_setdetachstate(&like, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&like, STACK_BYTES);
    sigset_t all, before; /* signals are for the threads of the program */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    while (pool.n_workers < wanted &&
           !pthread_create(&thread, &like, worker_loop, (void*)(intptr_t)pool.n_workers))
        ++pool.n_workers;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&like);
}

/* Call work(about, task, who) for each task, on at most so many threads, this one among them. */
static void parallel_for(int64_t n_threads, int64_t n_tasks, work_fn work, const void* about)
{
    int64_t helpers = (n_threads < n_tasks ? n_threads : n_tasks) - 1;
    if (helpers > MOST_HELPERS) helpers = MOST_HELPERS;
    if (helpers <= 0 || atomic_flag_test_and_set(&pool.taken)) {
        for (int64_t task = 0; task < n_tasks; ++task) work(about, task, 0);
        return;
    }
    enter();
    pool.wanted = (int)helpers;
    pool.work = work;
    pool.about = about;
    pool.n_tasks = n_tasks;
    pool.open = 1;
    pool.core = core();
    atomic_store(&pool.begun, 0);
    atomic_store(&pool.last, n_tasks - 1);
    atomic_fetch_add(&pool.jobs, 1);
    spawn_workers(pool.wanted);
    if (pool.asleep) pthread_cond_broadcast(&pool.called);
    leave();
    run_tasks(work, about, n_tasks, 0);
    enter();
    pool.open = 0; /* nobody comes any more */
    leave();
    for (int look = 1; atomic_load(&pool.inside); ++look)
        if (look % LOOKS)
            pause_core();
        else
            sched_yield();
    atomic_flag_clear(&pool.taken);
}
