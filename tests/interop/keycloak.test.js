import { Keycloak } from './lib/keycloak.js';
import { interop } from './lib/suite.js';

interop('usher and Keycloak', () => new Keycloak(), {
  variants: [
    { name: 'client_secret_post', oidc: () => ({ client_auth: 'client_secret_post' }) },
    { name: 'response_mode form_post', oidc: () => ({ response_mode: 'form_post' }) },
    { name: 'userinfo always', oidc: () => ({ userinfo: 'always' }) },
  ],
});
