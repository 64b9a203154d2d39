// Builds and fetches what chart.test.js needs: minutes when cold, so that it need not fit into the time of a test.
import { prepare } from '../lib/kubernetes.js';

await prepare();
