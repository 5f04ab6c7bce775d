import { testMatrix } from './matrix.js';

testMatrix('https');
