export { isPagestreamError } from "../core/errors.ts";
