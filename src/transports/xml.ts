/**
 * XML as the stores of the web speak it: small trees of elements and text, names without their prefixes.
 *
 * @module
 */
import { parseXml as parse, XmlElement, XmlText } from "@rgrove/parse-xml";
import { StoreError } from "./errors.ts";

/** An element. */
export interface XmlNode {
  /** Name without its prefix. */
  readonly name: string;
  /** All text below, in order. */
  readonly text: string;
  /** The elements directly below, of one name where it is given. */
  children(name?: string): XmlNode[];
  /** The first element of that name directly below. */
  child(name: string): XmlNode | undefined;
  /** Text of the first element of that name; empty where there is none. */
  textOf(name: string): string;
}

/**
 * Parses an answer. One that was cut is a retryable `StoreError`: a list must never be short without an error.
 */
export function parseXml(
  text: string,
  context: { readonly operation: string; readonly object: string },
): XmlNode {
  let root: XmlElement | null;
  try {
    root = parse(text).root;
  } catch {
    root = null;
  }
  if (root === null) {
    const { operation, object } = context;
    const what = "the server's answer is not whole XML";
    const next = "Check that the address is that of the store's interface";
    throw new StoreError({ operation, object, what, next }, { retryable: true });
  }
  return nodeOf(root);
}

/** The document of an error answer; `undefined` where it is no XML. */
export function tryParseXml(text: string): XmlNode | undefined {
  try {
    return parseXml(text, { operation: "parse", object: "an answer" });
  } catch {
    return undefined;
  }
}

function nodeOf(element: XmlElement): XmlNode {
  const elements = (): XmlElement[] =>
    element.children.filter((child): child is XmlElement => child instanceof XmlElement);
  const children = (name?: string): XmlNode[] =>
    elements()
      .filter((child) => name === undefined || localName(child.name) === name)
      .map(nodeOf);
  const child = (name: string): XmlNode | undefined => {
    const found = elements().find((each) => localName(each.name) === name);
    return found === undefined ? undefined : nodeOf(found);
  };
  return {
    name: localName(element.name),
    get text() {
      return textBelow(element);
    },
    children,
    child,
    textOf: (name) => child(name)?.text ?? "",
  };
}

function textBelow(element: XmlElement): string {
  return element.children
    .map((child) => {
      if (child instanceof XmlText) return child.text;
      return child instanceof XmlElement ? textBelow(child) : "";
    })
    .join("");
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

/** Text as it stands inside an element. Characters that XML cannot hold are the caller's to refuse. */
export function escapeXml(text: string): string {
  return text.replace(
    /[&<>"'\r]/g,
    (character) => `&#${(character.codePointAt(0) as number).toString()};`,
  );
}
