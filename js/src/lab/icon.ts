/** The one icon: a strip of film. */

import { LabIcon } from '@jupyterlab/ui-components';

export const filmIcon = new LabIcon({
  name: 'jupyter-export:film',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M3 4h18v16H3zm2 2v2h2V6zm0 5v2h2v-2zm0 5v2h2v-2zM17 6v2h2V6zm0 5v2h2v-2zm0 5v2h2v-2zM9 6v12h6V6z"/>
</svg>`
});
