// A program that knows nothing of keymux.
import axios from 'axios';

const client = axios.create({
  baseURL: process.env.AXIOS_URL,
  headers: { 'x-api-key': process.env.AXIOS_API_KEY },
});
for (let i = 1; i <= 3; i++) console.log(`axios: ${(await client.get(`/quote/${i}`)).status}`);
