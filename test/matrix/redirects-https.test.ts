import { testRedirects } from './redirects.js';

testRedirects('https');
