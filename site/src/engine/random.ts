/** PyTorch's generator: the same seed gives the same noise here and in Python. */

const LENGTH = 624;
const SHIFT = 397;

export class Generator {
  private state = new Uint32Array(LENGTH);
  private place = LENGTH;

  /** Matsumoto and Nishimura 1998, "Mersenne twister". */
  constructor(seed: number) {
    this.state[0] = seed >>> 0;
    for (let i = 1; i < LENGTH; i++) {
      const last = this.state[i - 1]! ^ (this.state[i - 1]! >>> 30);
      this.state[i] = Math.imul(1812433253, last) + i;
    }
  }

  private twist() {
    const s = this.state;
    for (let i = 0; i < LENGTH; i++) {
      const y = (s[i]! & 0x80000000) | (s[(i + 1) % LENGTH]! & 0x7fffffff);
      s[i] = s[(i + SHIFT) % LENGTH]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  /** A whole number from 0 to 2^32 - 1. */
  whole(): number {
    if (this.place === LENGTH) this.twist();
    let y = this.state[this.place++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  /** `torch.randn(n)` for n a multiple of 16: Box and Muller 1958, in groups of 16. */
  normal(n: number): Float32Array {
    const numbers = new Float32Array(n);
    for (let i = 0; i < n; i++) numbers[i] = (this.whole() & 0xffffff) / 0x1000000;
    for (let i = 0; i < n; i += 16) {
      for (let j = i; j < i + 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - numbers[j]!));
        const angle = 2 * Math.PI * numbers[j + 8]!;
        numbers[j] = radius * Math.cos(angle);
        numbers[j + 8] = radius * Math.sin(angle);
      }
    }
    return numbers;
  }
}
