// The few web types that the pure rooms may name. Runtimes and TypeScript's own libraries declare them in full;
// this file exists so that those rooms compile against ECMAScript alone.

interface AbortSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

interface ReadableStream<R = unknown> {
  readonly locked: boolean;
  getReader(): ReadableStreamDefaultReader<R>;
  getReader(options: { mode: "byob" }): {
    read(
      view: Uint8Array<ArrayBuffer>,
    ): Promise<{ done: boolean; value?: Uint8Array<ArrayBuffer> | undefined }>;
    cancel(reason?: unknown): Promise<void>;
  };
  cancel(reason?: unknown): Promise<void>;
}

interface ReadableStreamDefaultReader<R = unknown> {
  read(): Promise<{ done: false; value: R } | { done: true; value?: R | undefined }>;
  cancel(reason?: unknown): Promise<void>;
  releaseLock(): void;
}

declare namespace WebAssembly {
  interface Module {}
  const Module: new (bytes: Uint8Array<ArrayBuffer>) => Module;
  const Instance: new (module: Module) => { readonly exports: Readonly<Record<string, unknown>> };
}
