// Lanes: each has one request under way; of those that come meanwhile the newest alone waits, the others get null.

/** @template T
 * @typedef {{run: () => Promise<T>, done: (result: T | null) => void, failed: (error: unknown) => void}} Job */

/** A lane as a function of jobs. A job's promise resolves to null where a newer job took its place.
 * @returns {<T>(run: () => Promise<T>) => Promise<T | null>} */
export function newest() {
  let busy = false, next = /** @type {Job<any> | null} */ (null);
  /** @param {Job<any>} first */
  const work = async (first) => {
    busy = true;
    for (let job = /** @type {Job<any> | null} */ (first); job; ) {
      await job.run().then(job.done, job.failed);
      job = next;
      next = null;
    }
    busy = false;
  };
  return (run) => new Promise((done, failed) => {
    const job = { run, done, failed };
    if (!busy) return void work(job);
    next?.done(null);
    next = job;
  });
}
