import { isPagestreamError } from "pagestream/ltx";
export const x: boolean = isPagestreamError(1);
