/** In place of the codec `lz4`, which luray does not use by itself. */
export default class NoCodec {
  static fromConfig(): never {
    throw new Error("expected arrays in blosc or zstd, as luray writes them, found lz4");
  }
}
