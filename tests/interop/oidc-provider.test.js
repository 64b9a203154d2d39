import { OidcProvider } from './lib/oidc-provider.js';
import { interop } from './lib/suite.js';

interop('usher and oidc-provider', () => new OidcProvider(), {
  variants: [
    { name: 'client_secret_post', oidc: () => ({ client_id: 'usher-post', client_auth: 'client_secret_post' }) },
    { name: 'private_key_jwt', oidc: ({ clientKey }) => ({ client_id: 'usher-key', client_auth: 'private_key_jwt', client_secret: clientKey }) },
    { name: 'a public client', oidc: () => ({ client_id: 'usher-public', client_auth: 'none', client_secret: undefined }) },
    { name: 'response_mode form_post', oidc: () => ({ response_mode: 'form_post' }) },
  ],
});
