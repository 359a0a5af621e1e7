/**
 * What of Cloudflare's R2 binding is used. The types of `@cloudflare/workers-types` fit.
 *
 * @module
 */

/** What the binding tells of an object. */
export interface R2Object {
  /** The whole key. */
  readonly key: string;
  /** Bytes of the whole object, whatever range was asked for. */
  readonly size: number;
  /** Version tag, without quotes. */
  readonly etag: string;
  /** When R2 received it. */
  readonly uploaded: Date;
  /** What was put with it; in a listing only where it was asked for. */
  readonly customMetadata?: Record<string, string>;
}

/** An object that is read. */
export interface R2ObjectBody extends R2Object {
  /** The bytes asked for; missing where a condition did not hold. */
  readonly body?: ReadableStream<Uint8Array>;
}

/** A condition on an object. */
export interface R2Conditional {
  /** The object must be this version. */
  readonly etagMatches?: string;
  /** The object must not be this version; `*` stands for any. */
  readonly etagDoesNotMatch?: string;
}

/** Options of `get`. */
export interface R2GetOptions {
  /** The part to read. */
  readonly range?: { readonly offset: number; readonly length?: number };
  /** Without the condition there is no body. */
  readonly onlyIf?: R2Conditional;
}

/** Options of `put`, and of the start of an upload in parts. */
export interface R2PutOptions {
  /** Kept with the object. */
  readonly customMetadata?: Record<string, string>;
  /** Honoured by `put` alone. */
  readonly onlyIf?: R2Conditional;
}

/** Options of `list`. */
export interface R2ListOptions {
  /** What keys begin with. */
  readonly prefix?: string;
  /** Only keys after this one. */
  readonly startAfter?: string;
  /** Where the page before ended. */
  readonly cursor?: string;
  /** Most keys of a page. */
  readonly limit?: number;
  /** What else to tell of each object. */
  readonly include?: ("httpMetadata" | "customMetadata")[];
}

/** A page of a listing. */
export interface R2Objects {
  /** In the order of their keys. */
  readonly objects: readonly R2Object[];
  /** Whether more follow. */
  readonly truncated: boolean;
  /** Where the next page begins, if one does. */
  readonly cursor?: string;
}

/** A part that was uploaded. */
export interface R2UploadedPart {
  /** From 1. */
  readonly partNumber: number;
  /** Tag of the part. */
  readonly etag: string;
}

/** An upload in parts. */
export interface R2MultipartUpload {
  /** Uploads a part; all but the last have the same size. */
  uploadPart(partNumber: number, value: Uint8Array): Promise<R2UploadedPart>;
  /** Makes an object of the parts. */
  complete(parts: R2UploadedPart[]): Promise<R2Object>;
  /** Removes the parts. */
  abort(): Promise<void>;
}

/** A bucket that is bound to a Worker. */
export interface R2Bucket {
  /** Resolves with null where there is no such object. */
  head(key: string): Promise<R2Object | null>;
  /** Resolves with null where there is no such object. */
  get(key: string, options?: R2GetOptions): Promise<R2ObjectBody | null>;
  /** Resolves with null where a condition did not hold. */
  put(key: string, value: Uint8Array, options?: R2PutOptions): Promise<R2Object | null>;
  /** Begins an upload in parts. */
  createMultipartUpload(key: string, options?: R2PutOptions): Promise<R2MultipartUpload>;
  /** Deletes at most 1,000 keys; missing ones are no error. */
  delete(keys: string | string[]): Promise<void>;
  /** A page of at most 1,000 keys. */
  list(options?: R2ListOptions): Promise<R2Objects>;
}
