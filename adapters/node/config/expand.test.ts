import { describe, expect, test } from "vitest";
import { expandVariables } from "./expand.ts";

const variables = { A: "one", LONG_NAME: "a longer text\nof two lines", EMPTY: "" };
const expanded = (text: string): string => expandVariables(text, variables).text;

describe("expandVariables()", () => {
  test.each([
    ["x: $A", "x: one"],
    ["x: ${A}b", "x: oneb"],
    ["x: $Ab", "x: "],
    ["x: $EMPTY!", "x: !"],
    ["x: ${NONE}y", "x: y"],
    ["x: $$A", "x: $A"],
    ["x: $$$A", "x: $one"],
    ["x: pa$$word", "x: pa$word"],
    ["x: a$ b", "x: a$ b"],
    ["x: a$.b", "x: a$.b"],
    ["x: a$1b", "x: ab"],
    ["x: a$", "x: a$"],
    ["x: ${", "x: ${"],
  ])("expandVariables() makes %j of %j", (text, result) => {
    expect(expanded(text)).toBe(result);
  });

  test("expandVariables() knows the id of the process", () => {
    expect(expanded("$PID ${PID}")).toBe(`${process.pid} ${process.pid}`);
  });

  test("expandVariables() tells where nothing came of a variable, and not where its value is empty", () => {
    const text = "a: $A\nb: $NONE $EMPTY ${NO}";
    const { unset } = expandVariables(text, variables);
    expect(unset).toEqual([text.indexOf("$NONE"), text.indexOf("${NO}")]);
  });

  test("expandVariables() tells where each letter comes from", () => {
    const text = "a: $LONG_NAME\nb: ${A}\nc: d";
    const { text: result, origin } = expandVariables(text, variables);
    for (const letter of ["a:", "\nb:", "\nc:", "d"]) {
      expect(origin(result.lastIndexOf(letter))).toBe(text.lastIndexOf(letter));
    }
    expect(origin(result.indexOf("two"))).toBe(text.indexOf("$LONG_NAME"));
    expect(origin(0)).toBe(0);
  });
});
