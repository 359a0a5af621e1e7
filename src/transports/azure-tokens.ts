/**
 * Tokens of Microsoft Entra for Azure Blob Storage.
 *
 * @module
 */
import { InvalidArgumentError } from "../core/errors.ts";
import { exchangeToken, type TokenSource } from "./access-token.ts";
import { HttpClient, type HttpOptions } from "./http-client.ts";
import { checkEndpoint, encodeName, encodeQuery } from "./location.ts";

/** What tokens are asked for. */
const RESOURCE = "https://storage.azure.com/";

/** Options of {@linkcode entraClientCredentials}. */
export interface EntraClientOptions extends HttpOptions {
  /** The directory: its id or one of its domains. */
  readonly tenantId: string;
  /** The application. */
  readonly clientId: string;
  /** Its secret; or give `clientAssertion`. */
  readonly clientSecret?: string | undefined;
  /** Gives a signed assertion instead of a secret: what a federated workload reads from its token file. */
  readonly clientAssertion?: (() => string | Promise<string>) | undefined;
  /** Where tokens are given out; national clouds have their own. @default "https://login.microsoftonline.com" */
  readonly authority?: string | undefined;
}

/** Tokens for an application of Microsoft Entra. The store keeps each until five minutes before it expires. */
export function entraClientCredentials(options: EntraClientOptions): TokenSource {
  const { tenantId, clientId, clientSecret, clientAssertion } = options;
  const authority = checkEndpoint(
    options.authority ?? "https://login.microsoftonline.com",
    "Microsoft Entra",
  );
  if (clientSecret === undefined && clientAssertion === undefined) {
    throw new InvalidArgumentError({
      operation: "use",
      object: `the application ${clientId} of Microsoft Entra`,
      what: "there is neither a clientSecret nor a clientAssertion",
    });
  }
  const client = new HttpClient(options);
  return async () => {
    const assertion = await clientAssertion?.();
    const proof: Record<string, string> =
      assertion === undefined
        ? { client_secret: clientSecret ?? "" }
        : {
            client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            client_assertion: assertion,
          };
    const form = {
      grant_type: "client_credentials",
      client_id: clientId,
      scope: `${RESOURCE}.default`,
      ...proof,
    };
    const url = `${authority}/${encodeName(tenantId)}/oauth2/v2.0/token`;
    return await exchangeToken({ object: authority, url, form }, client);
  };
}

/** Options of {@linkcode managedIdentity}. */
export interface ManagedIdentityOptions extends HttpOptions {
  /** Which identity, where the machine has several. */
  readonly clientId?: string | undefined;
  /** The address that App Service, Functions and Container Apps name in IDENTITY_ENDPOINT. @default the metadata service of virtual machines */
  readonly endpoint?: string | undefined;
  /** The secret that they name in IDENTITY_HEADER. */
  readonly identityHeader?: string | undefined;
}

/** Tokens for the identity of the machine this runs on, from a service that only the machine itself can reach. */
export function managedIdentity(options: ManagedIdentityOptions = {}): TokenSource {
  const { clientId, identityHeader } = options;
  const endpoint = checkEndpoint(
    options.endpoint ?? "http://169.254.169.254/metadata/identity/oauth2/token",
    "the managed identity",
  );
  const client = new HttpClient(options);
  const version = identityHeader === undefined ? "2018-02-01" : "2019-08-01";
  const query = { "api-version": version, resource: RESOURCE, client_id: clientId };
  const headers: Record<string, string> =
    identityHeader === undefined ? { metadata: "true" } : { "x-identity-header": identityHeader };
  const url = `${endpoint}?${encodeQuery(query)}`;
  return () => exchangeToken({ object: endpoint, url, headers }, client);
}
