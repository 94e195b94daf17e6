// Random numbers as PyTorch draws them on the CPU: a seed means the same latent here and in `zeuxis sample --seeds`.

/** A Mersenne twister, as `torch.Generator().manual_seed(seed)`: each call gives 32 bits.
 * @param {number | bigint} seed a whole number; torch, too, uses its low 32 bits alone
 * @returns {() => number} */
function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = Number(BigInt(seed) & 0xffffffffn);
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = 624;
  return () => {
    if (at === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      at = 0;
    }
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

const TO_FLOAT = 2 ** -24;

/** `torch.rand(count, generator=manual_seed(seed))`.
 * @param {number | bigint} seed
 * @param {number} count */
export function rand(seed, count) {
  const next = twister(seed);
  return Float32Array.from({ length: count }, () => (next() & 0xffffff) * TO_FLOAT);
}

/** `torch.randn(count, generator=manual_seed(seed))`.
 * @param {number | bigint} seed
 * @param {number} count */
export function randn(seed, count) {
  return count < 16 ? fewNormals(twister(seed), count) : manyNormals(twister(seed), count);
}

/** Under sixteen numbers torch draws one at a time, in doubles of 53 bits; each pair gives two.
 * @param {() => number} next
 * @param {number} count */
function fewNormals(next, count) {
  const uniform = () => {
    const high = next(), low = next();
    return ((high & 0x1fffff) * 2 ** 32 + low) * 2 ** -53;
  };
  const z = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const angle = 2 * Math.PI * uniform(), radius = Math.sqrt(-2 * Math.log1p(-uniform()));
    z[i] = radius * Math.cos(angle);
    if (i + 1 < count) z[i + 1] = radius * Math.sin(angle);
  }
  return z;
}

/** From sixteen on it draws floats of 24 bits first, and turns them into normals by blocks of sixteen in place; a last
 * block that is short is drawn anew, over the end of the one before.
 * @param {() => number} next
 * @param {number} count */
function manyNormals(next, count) {
  const z = new Float32Array(count);
  for (let i = 0; i < count; i++) z[i] = (next() & 0xffffff) * TO_FLOAT;
  for (let i = 0; i + 15 < count; i += 16) sixteenNormals(z, i);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) z[i] = (next() & 0xffffff) * TO_FLOAT;
    sixteenNormals(z, count - 16);
  }
  return z;
}

/** Box and Muller on sixteen uniform numbers from `start` on: a radius from each of the first eight, an angle from its
 * partner eight places on.
 * @param {Float32Array} z
 * @param {number} start */
function sixteenNormals(z, start) {
  for (let j = start; j < start + 8; j++) {
    const radius = Math.fround(Math.sqrt(-2 * Math.log(1 - z[j]))), angle = Math.fround(2 * Math.PI * z[j + 8]);
    z[j] = radius * Math.cos(angle);
    z[j + 8] = radius * Math.sin(angle);
  }
}
