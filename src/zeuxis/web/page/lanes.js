// Lanes: each has one request under way; of those that come meanwhile the newest alone waits, the others get null.

/** @template T
 * @typedef {{run: () => Promise<T>, done: (result: T | null) => void, failed: (error: unknown) => void}} Job */

/** A queue in which the newest job waits. */
export class Newest {
  busy = false;
  next = /** @type {Job<any> | null} */ (null);

  /** What a job gives; null where a newer one took its place.
   * @template T
   * @param {() => Promise<T>} run
   * @returns {Promise<T | null>} */
  do(run) {
    return new Promise((done, failed) => {
      const job = { run, done, failed };
      if (!this.busy) return void this.work(job);
      this.next?.done(null);
      this.next = job;
    });
  }

  /** @param {Job<any>} first */
  async work(first) {
    this.busy = true;
    for (let job = /** @type {Job<any> | null} */ (first); job; ) {
      await job.run().then(job.done, job.failed);
      job = this.next;
      this.next = null;
    }
    this.busy = false;
  }
}
