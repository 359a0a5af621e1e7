/**
 * What of Cloudflare's R2 binding is used. The types of `@cloudflare/workers-types` fit.
 *
 * @module
 */

/** What the binding tells of an object. */
export interface R2Object {
  readonly key: string;
  /** Of the whole object, whatever range was asked for. */
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  readonly uploaded: Date;
  readonly customMetadata?: Record<string, string>;
}

/** An object that is read; without a body where a condition did not hold. */
export interface R2ObjectBody extends R2Object {
  readonly body?: ReadableStream<Uint8Array>;
}

/** Options of `put`, and of the start of an upload in parts. */
export interface R2PutOptions {
  readonly customMetadata?: Record<string, string>;
  readonly onlyIf?: { readonly etagMatches?: string; readonly etagDoesNotMatch?: string };
}

/** Options of `list`. */
export interface R2ListOptions {
  readonly prefix?: string;
  readonly startAfter?: string;
  readonly cursor?: string;
  readonly limit?: number;
  readonly include?: ("httpMetadata" | "customMetadata")[];
}

/** A page of a listing. */
export interface R2Objects {
  readonly objects: readonly R2Object[];
  readonly truncated: boolean;
  readonly cursor?: string;
}

/** A part that was uploaded. */
export interface R2UploadedPart {
  readonly partNumber: number;
  readonly etag: string;
}

/** An upload in parts. */
export interface R2MultipartUpload {
  uploadPart(partNumber: number, value: Uint8Array): Promise<R2UploadedPart>;
  complete(parts: R2UploadedPart[]): Promise<R2Object>;
  abort(): Promise<void>;
}

/** A bucket that is bound to a Worker. */
export interface R2Bucket {
  head(key: string): Promise<R2Object | null>;
  get(
    key: string,
    options?: {
      readonly range?: { readonly offset: number; readonly length?: number };
      readonly onlyIf?: { readonly etagMatches?: string };
    },
  ): Promise<R2ObjectBody | null>;
  /** Resolves with null where a condition did not hold. */
  put(key: string, value: Uint8Array, options?: R2PutOptions): Promise<R2Object | null>;
  createMultipartUpload(key: string, options?: R2PutOptions): Promise<R2MultipartUpload>;
  /** At most 1,000 keys. */
  delete(keys: string | string[]): Promise<void>;
  list(options?: R2ListOptions): Promise<R2Objects>;
}
