import { testRedirects } from './redirects.js';

testRedirects('http');
