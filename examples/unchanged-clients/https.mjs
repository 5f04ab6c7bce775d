// A program that knows nothing of keymux, on `node:https` alone.
import { get } from 'node:https';

const key = process.env.HTTPS_API_KEY;
for (let i = 1; i <= 3; i++) {
  const status = await new Promise((resolve, reject) => {
    get(`${process.env.HTTPS_URL}/quote/${i}?apikey=${key}`, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    }).on('error', reject);
  });
  console.log(`https: ${status}`);
}
